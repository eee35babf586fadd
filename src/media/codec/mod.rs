//! Parameter sets and framing of each encoding, one file each.
