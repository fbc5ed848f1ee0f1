//! From what is observed and the instant now: what to do next, and what to report. Pure: no I/O, no clock of its own.

pub mod schedule;
