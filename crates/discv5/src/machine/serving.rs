//! What others ask of us.
