//! temp
use crate::exchange::{Body, Headers};
use smallvec::SmallVec;
#[derive(Clone, Copy, Debug)]
pub enum Coding {
    Gzip,
}
#[derive(Debug)]
pub struct UnknownCoding;
impl std::fmt::Display for UnknownCoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("unknown")
    }
}
pub fn codings(h: &Headers) -> Result<SmallVec<[Coding; 2]>, UnknownCoding> {
    if h.get("content-encoding").is_some_and(|c| c != b"identity") {
        Err(UnknownCoding)
    } else {
        Ok(SmallVec::new())
    }
}
pub struct Decoder;
#[derive(Debug)]
pub enum Fault {
    Broken(String),
    TooLarge,
}
impl Decoder {
    pub fn new(_: &[Coding]) -> Decoder {
        Decoder
    }
    pub fn push(&mut self, _: &[u8], _: &mut Vec<u8>, _: usize) -> Result<(), Fault> {
        Ok(())
    }
    pub fn finish(&mut self, _: &mut Vec<u8>, _: usize) -> Result<(), Fault> {
        Ok(())
    }
}
pub fn decoded(b: Body, _: &[Coding]) -> Body {
    b
}
