//! The Media API simulator's command line.

fn main() {}
