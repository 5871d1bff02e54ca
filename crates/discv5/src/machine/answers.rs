//! What others answer to us.
