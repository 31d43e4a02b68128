//! Two static libraries of Rust would each bring their own runtime and clash: this is the only one. Each crate stands
//! beside the C++ that calls it, behind a C interface of its own.

pub use guildhall_http;
pub use guildhall_text;
