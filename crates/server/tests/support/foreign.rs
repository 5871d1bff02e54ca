//! Parts that have nothing in common with the default ones: another base protocol, another way to
//! choose whom to dial, another source of nodes. (Another network is in `links`, another transport
//! in `plain`.)

pub(crate) mod first_come;
pub(crate) mod noticeboard;
pub(crate) mod text_mux;
