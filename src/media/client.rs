//! The HTTP client of the Media API.
