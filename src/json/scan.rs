//! Tells where one JSON value ends, and whether it is one: a machine that takes the bytes in pieces of any size.

use super::{Invalid, is_blank};

/// How deep containers may be nested.
pub const MAX_DEPTH: usize = 512;

/// Reads one value (RFC 8259). Bytes over 0x7f are taken in texts without a look at their encoding: that is
/// [`super::Utf8`]'s, over everything at once.
#[derive(Debug)]
pub struct Scanner {
    state: State,
    depth: usize,
    /// How deep the value itself stands.
    outer: usize,
    /// For every open container whether it is an object.
    objects: [u64; MAX_DEPTH / 64],
    /// Whether the text at hand is a member's name.
    name: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Value,
    FirstItem,
    FirstName,
    Name,
    Colon,
    After,
    Text,
    Escape,
    Hex(u8),
    Number(Number),
    Word(&'static [u8]),
    Done,
}

/// How far a number has come (RFC 8259 section 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Number {
    const fn may_end(self) -> bool {
        matches!(self, Number::Zero | Number::Whole | Number::Fraction | Number::Power)
    }

    const fn next(self, byte: u8) -> Option<Number> {
        Some(match (self, byte) {
            (Number::Minus, b'0') => Number::Zero,
            (Number::Minus | Number::Whole, b'1'..=b'9') | (Number::Whole, b'0') => Number::Whole,
            (Number::Zero | Number::Whole, b'.') => Number::Point,
            (Number::Point | Number::Fraction, b'0'..=b'9') => Number::Fraction,
            (Number::Zero | Number::Whole | Number::Fraction, b'e' | b'E') => Number::Exponent,
            (Number::Exponent, b'+' | b'-') => Number::Sign,
            (Number::Exponent | Number::Sign | Number::Power, b'0'..=b'9') => Number::Power,
            _ => return None,
        })
    }
}

impl Scanner {
    /// For a value that stands inside so many containers.
    pub fn new(outer: usize) -> Scanner {
        Scanner { state: State::Value, depth: 0, outer, objects: [0; MAX_DEPTH / 64], name: false }
    }

    /// Begins anew, for another value inside so many containers.
    pub(super) fn restart(&mut self, outer: usize) {
        self.state = State::Value;
        self.depth = 0;
        self.outer = outer;
    }

    /// Takes the next bytes: how many of them belong to the value, once it has ended. A number at the top has ended
    /// when something follows it, or with [`Scanner::finish`].
    ///
    /// # Errors
    /// The bytes are no JSON.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, Invalid> {
        let mut at = 0;
        loop {
            match self.state {
                State::Text => {
                    at = text_end(bytes, at);
                    let Some(&byte) = bytes.get(at) else { return Ok(None) };
                    at += 1;
                    match byte {
                        b'"' if self.name => self.state = State::Colon,
                        b'"' if self.ended() => return Ok(Some(at)),
                        b'"' => {}
                        b'\\' => self.state = State::Escape,
                        byte => return Err(Invalid::Byte(byte)),
                    }
                }
                State::Number(number) => {
                    let (number, end) = digits(number, bytes, at);
                    at = end;
                    self.state = State::Number(number);
                    match bytes.get(at) {
                        None => return Ok(None),
                        Some(&byte) if !number.may_end() => return Err(Invalid::Byte(byte)),
                        Some(_) if self.ended() => return Ok(Some(at)),
                        Some(_) => {}
                    }
                }
                State::Done => return Ok(Some(at)),
                State::Word([]) => {
                    if self.ended() {
                        return Ok(Some(at));
                    }
                }
                state => {
                    if !matches!(state, State::Escape | State::Hex(_) | State::Word(_)) {
                        while bytes.get(at).copied().is_some_and(is_blank) {
                            at += 1;
                        }
                    }
                    let Some(&byte) = bytes.get(at) else { return Ok(None) };
                    at += 1;
                    if self.step(state, byte)? {
                        return Ok(Some(at));
                    }
                }
            }
        }
    }

    /// One byte where a token begins or ends; whether the value has ended with it.
    #[inline]
    fn step(&mut self, state: State, byte: u8) -> Result<bool, Invalid> {
        self.state = match (state, byte) {
            (State::Value | State::FirstItem, b'"') => {
                self.name = false;
                State::Text
            }
            (State::Value | State::FirstItem, b'{') => {
                self.open(true)?;
                State::FirstName
            }
            (State::Value | State::FirstItem, b'[') => {
                self.open(false)?;
                State::FirstItem
            }
            (State::Value | State::FirstItem, b'1'..=b'9') => State::Number(Number::Whole),
            (State::Value | State::FirstItem, b'0') => State::Number(Number::Zero),
            (State::Value | State::FirstItem, b'-') => State::Number(Number::Minus),
            (State::Value | State::FirstItem, b't') => State::Word(b"rue"),
            (State::Value | State::FirstItem, b'f') => State::Word(b"alse"),
            (State::Value | State::FirstItem, b'n') => State::Word(b"ull"),
            (State::FirstName | State::Name, b'"') => {
                self.name = true;
                State::Text
            }
            (State::Colon, b':') => State::Value,
            (State::After, b',') => {
                if self.in_object() {
                    State::Name
                } else {
                    State::Value
                }
            }
            (State::After | State::FirstName, b'}') if self.in_object() => return Ok(self.close()),
            (State::After | State::FirstItem, b']') if !self.in_object() => return Ok(self.close()),
            (State::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => State::Text,
            (State::Escape, b'u') => State::Hex(4),
            (State::Hex(left), byte) if byte.is_ascii_hexdigit() => {
                if left == 1 {
                    State::Text
                } else {
                    State::Hex(left - 1)
                }
            }
            (State::Word([first, rest @ ..]), byte) if byte == *first => State::Word(rest),
            (_, byte) => return Err(Invalid::Byte(byte)),
        };
        Ok(false)
    }

    /// Notes that a value is complete; whether it was the one.
    fn ended(&mut self) -> bool {
        self.state = if self.depth == 0 { State::Done } else { State::After };
        self.depth == 0
    }

    fn open(&mut self, object: bool) -> Result<(), Invalid> {
        if self.outer + self.depth >= MAX_DEPTH {
            return Err(Invalid::TooDeep);
        }
        let (word, bit) = (self.depth / 64, 1u64 << (self.depth % 64));
        if object {
            self.objects[word] |= bit;
        } else {
            self.objects[word] &= !bit;
        }
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self) -> bool {
        self.depth -= 1;
        self.ended()
    }

    fn in_object(&self) -> bool {
        let Some(top) = self.depth.checked_sub(1) else { return false };
        self.objects[top / 64] & (1 << (top % 64)) != 0
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// The value has not.
    pub fn finish(&mut self) -> Result<(), Invalid> {
        match self.state {
            State::Done => Ok(()),
            State::Word([]) if self.depth == 0 => Ok(()),
            State::Number(number) if number.may_end() && self.depth == 0 => Ok(()),
            _ => Err(Invalid::Incomplete),
        }
    }
}

/// Goes on with a number as far as the bytes belong to it.
fn digits(mut number: Number, bytes: &[u8], mut at: usize) -> (Number, usize) {
    while let Some(&byte) = bytes.get(at) {
        let Some(next) = number.next(byte) else { break };
        number = next;
        at += 1;
    }
    (number, at)
}

/// Where the first quote, backslash or control byte stands: eight bytes at a time.
#[inline]
pub(super) fn text_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight);
        let (quote, slash) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5c));
        let zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let found = (zero(quote) | zero(slash) | (word.wrapping_sub(ONES * 0x20) & !word)) & HIGH;
        if found != 0 {
            // A borrow can only mark bytes above one that is marked rightly.
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| *byte >= 0x20 && !matches!(byte, b'"' | b'\\')) {
        at += 1;
    }
    at
}
