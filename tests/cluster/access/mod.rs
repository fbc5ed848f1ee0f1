//! The shipped rights: what they give and withhold, what each is for, and what the admission policy fences besides.

mod fence;
mod granted;
mod withheld;

pub use fence::stands as fence_stands;

use crate::harness::ClusterTest;

pub fn tests() -> Vec<ClusterTest> {
    [withheld::tests(), granted::tests(), fence::tests()].into_iter().flatten().collect()
}
