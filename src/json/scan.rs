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
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Value,
    FirstItem,
    FirstName,
    Name,
    Colon,
    After,
    /// A member's name, or a value.
    Text {
        name: bool,
    },
    Escape {
        name: bool,
    },
    Hex {
        left: u8,
        name: bool,
    },
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
        Scanner { state: State::Value, depth: 0, outer, objects: [0; MAX_DEPTH / 64] }
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
        // Kept out of memory while bytes last: a token is a few of them.
        let mut state = self.state;
        let mut object = self.in_object();
        loop {
            match state {
                State::Text { name } => {
                    at = text_end(bytes, at);
                    let Some(&byte) = bytes.get(at) else { break };
                    at += 1;
                    state = match byte {
                        b'"' if !name => self.ended(),
                        // The colon mostly stands right behind a name.
                        b'"' if bytes.get(at) == Some(&b':') => {
                            at += 1;
                            State::Value
                        }
                        b'"' => State::Colon,
                        b'\\' => State::Escape { name },
                        byte => return Err(Invalid::Byte(byte)),
                    };
                }
                State::Number(number) => {
                    let (number, end) = digits(number, bytes, at);
                    at = end;
                    state = match bytes.get(at) {
                        None => State::Number(number),
                        Some(&byte) if !number.may_end() => return Err(Invalid::Byte(byte)),
                        Some(_) => self.ended(),
                    };
                    if at == bytes.len() {
                        break;
                    }
                }
                State::Done => {
                    self.state = state;
                    return Ok(Some(at));
                }
                State::Word([]) => state = self.ended(),
                State::Word([first, rest @ ..]) => {
                    let Some(&byte) = bytes.get(at) else { break };
                    if byte != *first {
                        return Err(Invalid::Byte(byte));
                    }
                    at += 1;
                    state = State::Word(rest);
                }
                State::Escape { name } => {
                    let Some(&byte) = bytes.get(at) else { break };
                    at += 1;
                    state = match byte {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => State::Text { name },
                        b'u' => State::Hex { left: 4, name },
                        byte => return Err(Invalid::Byte(byte)),
                    };
                }
                State::Hex { left, name } => {
                    let Some(&byte) = bytes.get(at) else { break };
                    at += 1;
                    if !byte.is_ascii_hexdigit() {
                        return Err(Invalid::Byte(byte));
                    }
                    state =
                        if left == 1 { State::Text { name } } else { State::Hex { left: left - 1, name } };
                }
                State::Value
                | State::FirstItem
                | State::FirstName
                | State::Name
                | State::Colon
                | State::After => {
                    while bytes.get(at).copied().is_some_and(is_blank) {
                        at += 1;
                    }
                    let Some(&byte) = bytes.get(at) else { break };
                    at += 1;
                    state = self.token(state, byte, &mut object)?;
                }
            }
        }
        self.state = state;
        Ok(None)
    }

    /// One byte where a token begins, or ends a container.
    #[inline]
    fn token(&mut self, state: State, byte: u8, object: &mut bool) -> Result<State, Invalid> {
        Ok(match (state, byte) {
            (State::After, b',') => {
                if *object {
                    State::Name
                } else {
                    State::Value
                }
            }
            (State::FirstName | State::Name, b'"') => State::Text { name: true },
            (State::Value | State::FirstItem, byte) if byte != b']' || state == State::Value => {
                self.value(byte, object)?
            }
            (State::Colon, b':') => State::Value,
            (State::After | State::FirstName, b'}') if *object => self.close(object),
            (State::After | State::FirstItem, b']') if !*object => self.close(object),
            (_, byte) => return Err(Invalid::Byte(byte)),
        })
    }

    #[inline]
    fn value(&mut self, first: u8, object: &mut bool) -> Result<State, Invalid> {
        Ok(match first {
            b'"' => State::Text { name: false },
            b'{' => {
                self.open(true)?;
                *object = true;
                State::FirstName
            }
            b'[' => {
                self.open(false)?;
                *object = false;
                State::FirstItem
            }
            b'1'..=b'9' => State::Number(Number::Whole),
            b'0' => State::Number(Number::Zero),
            b'-' => State::Number(Number::Minus),
            b't' => State::Word(b"rue"),
            b'f' => State::Word(b"alse"),
            b'n' => State::Word(b"ull"),
            byte => return Err(Invalid::Byte(byte)),
        })
    }

    /// Notes that a value is complete.
    fn ended(&self) -> State {
        if self.depth == 0 { State::Done } else { State::After }
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

    fn close(&mut self, object: &mut bool) -> State {
        self.depth -= 1;
        *object = self.in_object();
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
        // Most numbers are whole.
        if number == Number::Whole && byte.is_ascii_digit() {
            at += 1;
            continue;
        }
        let Some(next) = number.next(byte) else { break };
        number = next;
        at += 1;
    }
    (number, at)
}

/// Where a value that is no container ends, where it lies in these bytes whole and has no escapes, and something follows it: most values.
/// `None` tells nothing.
#[inline]
pub(super) fn short_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let length = match rest.first()? {
        b'"' => {
            let end = text_end(rest, 1);
            (rest.get(end) == Some(&b'"')).then_some(end + 1)?
        }
        b't' if rest.starts_with(b"true") => 4,
        b'f' if rest.starts_with(b"false") => 5,
        b'n' if rest.starts_with(b"null") => 4,
        first @ b'0'..=b'9' => {
            let begun = if *first == b'0' { Number::Zero } else { Number::Whole };
            let (number, end) = digits(begun, rest, 1);
            number.may_end().then_some(end)?
        }
        _ => return None,
    };
    // What cannot follow a value is left to those who tell what is wrong.
    matches!(rest.get(length)?, b',' | b'}' | b']').then_some(at + length)
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
