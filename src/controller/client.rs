//! The client of the API server.

use std::time::Duration;

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Client, Config};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tower::timeout::TimeoutLayer;
use tower::{BoxError, ServiceBuilder};

use super::{API_SERVER_LIMIT, SILENCE_LIMIT};
use crate::names::Names;

/// A connection on which nothing has come for so long is asked whether it lives, and asked again after as long.
const ASKED_AFTER: Duration = Duration::from_secs(1);

/// What is sent, and isn't so much as acknowledged within this, is lost, and so is its connection: packets may be dropped, or another API server have
/// taken the address over, without a word. A server that is merely slow, or held, still acknowledges.
const DEAD_AFTER: Duration = Duration::from_secs(3);

/// A client of the API server whose calls end: the library's own waits without bound, and repeats a failing call for minutes.
///
/// Put together here from the library's parts, because its own whole looks names up through the C library. The environment's proxies, which
/// are for the Media API, have no place in it: the library would take `HTTPS_PROXY` for the API server too, without `NO_PROXY`.
pub fn client(config: Config) -> Result<Client, kube::Error> {
    if CryptoProvider::get_default().is_none() {
        // An error only says that another has just done the same.
        let _ = aws_lc_rs::default_provider().install_default();
    }
    let mut connector = HttpConnector::new_with_resolver(Names::default());
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(DEAD_AFTER));
    connector.set_keepalive(Some(ASKED_AFTER));
    connector.set_keepalive_interval(Some(ASKED_AFTER));
    connector.set_tcp_user_timeout(Some(DEAD_AFTER));
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(connector)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(Some(SILENCE_LIMIT));
    connector.set_reset_reader_on_write(true);
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::new(API_SERVER_LIMIT))
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn the_server_is_found_by_name_and_never_through_a_proxy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
            String::from_utf8(request[..length].to_vec()).unwrap()
        });
        let mut config = Config::new(format!("http://localhost:{port}/prefix").parse().unwrap());
        config.auth_info.token = Some("planted".to_owned().into());
        config.proxy_url = Some("http://127.0.0.1:1".parse().unwrap());
        let request = http::Request::get("/version").body(Vec::new()).unwrap();
        assert_eq!(client(config).unwrap().request_text(request).await.unwrap(), "{}");
        let request = server.await.unwrap();
        assert!(request.starts_with("GET /prefix/version HTTP/1.1\r\n"), "{request}");
        assert!(
            request.contains(&format!("host: localhost:{port}\r\n")) && request.contains("authorization: Bearer planted\r\n"),
            "{request}"
        );
    }
}
