//! How long the parts of a refresh take that the profile showed to matter: `make bench-micro`. Criterion keeps the last run in target/criterion and
//! tells what has changed since; tests/allocations.rs counts what they allocate, which no other load on the machine changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a bench that can't be set up has nothing to tell")]

mod cases;

use std::hint::black_box;

use cases::{Fleet, Quiet, decode_request, decode_secret};
use criterion::{Criterion, criterion_group, criterion_main};

fn refresh(criterion: &mut Criterion) {
    let quiet = Quiet::new();
    criterion.bench_function("decide, nothing due", |bencher| bencher.iter(|| black_box(&quiet).decide()));
    criterion.bench_function("order a Secret", |bencher| bencher.iter(|| black_box(&quiet).order()));
    let secret = quiet.secret_event();
    criterion.bench_function("decode a Secret's event", |bencher| bencher.iter(|| decode_secret(black_box(&secret))));
    let request = quiet.request_event();
    criterion.bench_function("decode a request's event", |bencher| bencher.iter(|| decode_request(black_box(&request))));
    criterion.bench_function("what is kept of both", |bencher| bencher.iter(|| black_box(&quiet).kept(false)));
    for size in [1000, 10_000] {
        let mut fleet = Fleet::new(size);
        criterion.bench_function(&format!("a lane's call of {size}"), |bencher| bencher.iter(|| fleet.refresh()));
    }
}

criterion_group!(benches, refresh);
criterion_main!(benches);
