//! A real control plane on loopback for the tests and the demo: etcd, kube-apiserver and, on demand, kube-controller-manager.
//!
//! [`ControlPlane::start`] is the way in. Whatever starts a program here does so through [`Launch`], so that none outlives its starter.

mod access;
mod api_server;
mod apply;
mod audit;
mod certificates;
mod clock;
mod control_plane;
mod controller_manager;
mod etcd;
mod gate;
mod in_process;
mod judge;
mod kubeconfig;
mod listen;
mod ports;
mod process;
mod tools;
mod tunnel;

pub use access::service_account_user;
pub use api_server::mutating_policies_version;
pub use audit::{AuditLog, AuditQuery, AuditedRequest};
pub use clock::{Stopwatch, unix_millis};
pub use control_plane::ControlPlane;
pub use gate::Gate;
pub use in_process::{Asked, Change, InProcessApiServer, Trouble};
pub use judge::{Judge, Life, Record, seconds};
pub use kubeconfig::client as client_of;
pub use listen::start_on_free_port;
pub use ports::free_ports;
pub use process::{Launch, ManagedProcess};
pub use tunnel::Tunnel;
