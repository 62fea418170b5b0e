//! Requests within requests.
