//! Numbers that can't be guessed; the component imports `wasi:random/random`,
//! which needs the grant `random`.

/// 64 random bits.
pub fn u64() -> u64 {
    crate::bindings::wasi::random::random::get_random_u64()
}
