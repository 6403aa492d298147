//! SentencePiece models, as SentencePiece itself reads them.

mod bpe;
pub(crate) mod file;
mod normalizer;
mod wire;

use std::collections::HashMap;

use self::bpe::{Bpe, BpeScratch};
use self::file::{Algorithm, Kind, ModelFile, Piece};
use self::normalizer::{Normalizer, SPACE};
use super::unigram::{Precision, Rules, Scratch as UnigramScratch, Unigram};
use crate::error::{Error, Result};

/// A SentencePiece model at work: normalises, cuts and joins texts as SentencePiece does (T. Kudo and J. Richardson, "SentencePiece", 2018),
/// which is not always what a tokenizer.json made from the same file does.
#[derive(Clone)]
pub(crate) struct SentencePiece {
    pieces: Vec<Piece>,
    ids: HashMap<String, u32>,
    /// Whether a reserved piece has the text of one that is found in texts.
    shadowed: bool,
    unknown: u32,
    /// The pieces of the bytes, if characters that are no piece become those.
    bytes: Option<Box<[u32; 256]>>,
    engine: Engine,
    normalizer: Normalizer,
    denormalizer: Option<Normalizer>,
    /// Whether a space that a decoded text begins with goes: no, one, all.
    leading: Leading,
    unknown_surface: String,
    specials: [Option<u32>; 3],
}

#[derive(Clone)]
enum Engine {
    Unigram(Box<Unigram>),
    Bpe(Box<Bpe>),
    Word,
    Char(Box<super::trie::Trie>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leading {
    Stays,
    OneGoes,
    AllGo,
}

/// Memory for [`SentencePiece::encode`], kept from call to call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    text: String,
    origins: Vec<u32>,
    unigram: UnigramScratch,
    bpe: BpeScratch,
}

impl SentencePiece {
    /// Makes a model of what its file says.
    ///
    /// # Errors
    /// [`Error::Config`] for a piece that is there twice, for no or two unknown pieces, for pieces of bytes that are missing or none; the errors
    /// of [`Charsmap::new`](super::charsmap::Charsmap::new) and of [`Unigram`].
    pub(crate) fn new(model: ModelFile) -> Result<Self> {
        let wrong = |problem: String| Error::Config {
            op: "SentencePiece",
            problem,
            hint: "take a model (*.model) as SentencePiece wrote it".into(),
        };
        let ModelFile { pieces, .. } = &model;
        if pieces.len() >= u32::MAX as usize {
            return Err(wrong(format!("the model has {} pieces", pieces.len())));
        }
        // Reserved pieces may have the text of one that is found in texts, and then have its number too.
        let [mut found, mut reserved] = [HashMap::new(), HashMap::new()];
        let mut unknown = None;
        for (id, piece) in (0u32..).zip(pieces) {
            let normal = matches!(piece.kind, Kind::Normal | Kind::UserDefined | Kind::Unused);
            let ids = if normal { &mut found } else { &mut reserved };
            if let Some(before) = ids.insert(piece.text.clone(), id) {
                return Err(wrong(format!("piece {id} ({:?}) is piece {before} once more", piece.text)));
            }
            if piece.kind == Kind::Unknown
                && let Some(before) = unknown.replace(id)
            {
                return Err(wrong(format!("pieces {before} and {id} are both the unknown one")));
            }
            if piece.kind == Kind::Byte && !model.byte_fallback {
                return Err(wrong(format!("piece {id} ({:?}) is a byte, and byte_fallback is off", piece.text)));
            }
            if piece.kind == Kind::Byte && byte(&piece.text).is_none() {
                return Err(wrong(format!("piece {id} ({:?}) is to be a byte, <0x00> to <0xFF>", piece.text)));
            }
        }
        let unknown = unknown.ok_or_else(|| wrong("there is no unknown piece".into()))?;
        let mut bytes = None;
        if model.byte_fallback {
            let mut all = Box::new([0; 256]);
            for (byte, id) in all.iter_mut().enumerate() {
                let text = format!("<0x{byte:02X}>");
                let piece = reserved.get(&text).filter(|&&id| pieces[id as usize].kind == Kind::Byte);
                *id = *piece.ok_or_else(|| wrong(format!("byte_fallback is on, and there is no byte {text}")))?;
            }
            bytes = Some(all);
        }
        let mut ids = found;
        let all = ids.len() + reserved.len();
        ids.extend(reserved);
        let user_defined = || pieces.iter().filter(|piece| piece.kind == Kind::UserDefined).map(|piece| &piece.text[..]);
        let engine = match model.algorithm {
            Algorithm::Unigram => Engine::Unigram(Box::new(unigram(pieces, unknown, &bytes)?)),
            Algorithm::Bpe => Engine::Bpe(Box::new(Bpe::new(pieces)?)),
            Algorithm::Word => Engine::Word,
            Algorithm::Char => {
                Engine::Char(Box::new(super::trie::Trie::new(user_defined().map(|text| (text.as_bytes(), 0)))?))
            }
        };
        let denormalizer = (!model.denormalizer.charsmap.is_empty())
            .then(|| Normalizer::new(&model.denormalizer, std::iter::empty(), false))
            .transpose()?;
        let control = |text: &String| ids.get(text).copied().filter(|&id| pieces[id as usize].kind == Kind::Control);
        Ok(SentencePiece {
            specials: [&model.begin, &model.end, &model.pad].map(control),
            unknown,
            bytes,
            engine,
            normalizer: Normalizer::new(&model.normalizer, user_defined(), model.treat_whitespace_as_suffix)?,
            denormalizer,
            leading: match (model.normalizer.remove_extra_whitespaces, model.normalizer.add_dummy_prefix) {
                (true, _) => Leading::AllGo,
                (false, true) => Leading::OneGoes,
                (false, false) => Leading::Stays,
            },
            unknown_surface: model.unknown_surface,
            shadowed: ids.len() < all,
            ids,
            pieces: model.pieces,
        })
    }

    /// All pieces, by number.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The number of a piece.
    pub(crate) fn id(&self, piece: &str) -> Option<u32> {
        self.ids.get(piece).copied()
    }

    /// The number of the unknown piece.
    pub(crate) fn unknown(&self) -> u32 {
        self.unknown
    }

    /// The number of the piece that begins a text (bos), if there is one.
    pub(crate) fn begin(&self) -> Option<u32> {
        self.specials[0]
    }

    /// The number of the piece that ends a text (eos), if there is one.
    pub(crate) fn end(&self) -> Option<u32> {
        self.specials[1]
    }

    /// The number of the piece that fills up, if there is one.
    pub(crate) fn pad(&self) -> Option<u32> {
        self.specials[2]
    }

    /// What a text is before it is cut.
    ///
    /// # Errors
    /// [`Error::Argument`] for a text of a gigabyte or more.
    pub(crate) fn normalize(&self, text: &str) -> Result<String> {
        let mut scratch = Scratch::default();
        self.prepare(text, &mut scratch)?;
        Ok(scratch.text)
    }

    fn prepare(&self, text: &str, scratch: &mut Scratch) -> Result<()> {
        // A place is a u32, and a text can become a few times as long.
        if text.len() >= 1 << 30 {
            let got = format!("{} bytes", text.len());
            return Err(Error::argument("SentencePiece", "a text", "shorter than 1 GiB", got, "cut it into documents"));
        }
        self.normalizer.normalize(text, &mut scratch.text, &mut scratch.origins);
        if scratch.text.len() >= u32::MAX as usize {
            let got = format!("{} bytes once normalised", scratch.text.len());
            return Err(Error::argument("SentencePiece", "a text", "shorter than 4 GiB", got, "cut it into documents"));
        }
        Ok(())
    }

    /// Cuts a text and appends for each piece its number and its bytes in the text, from and to. No piece is added at the ends. The pieces of
    /// bytes all have the bytes of the whole character.
    ///
    /// # Errors
    /// [`Error::Argument`] for a text of a gigabyte or more.
    pub(crate) fn encode(&self, text: &str, scratch: &mut Scratch, out: &mut Vec<(u32, u32, u32)>) -> Result<()> {
        self.prepare(text, scratch)?;
        let Scratch { text: normal, origins, unigram, bpe } = scratch;
        let first = out.len();
        let mut after_unknown = false;
        let mut emit = |from: usize, to: usize, id: u32| {
            let (unknown, from, to) = (id == self.unknown, from as u32, to as u32);
            match &self.bytes {
                Some(bytes) if unknown => {
                    out.extend(normal[from as usize..to as usize].bytes().map(|byte| (bytes[usize::from(byte)], from, to)));
                }
                None if unknown && after_unknown => out.last_mut().into_iter().for_each(|last| last.2 = to),
                _ => out.push((id, from, to)),
            }
            after_unknown = unknown;
        };
        match &self.engine {
            Engine::Unigram(engine) => engine.encode(normal, unigram, out)?,
            Engine::Bpe(engine) => engine.encode(normal, bpe, &mut |from, to, id| {
                emit(from, to, id.filter(|_| !self.shadowed).unwrap_or_else(|| self.lookup(&normal[from..to])));
            }),
            Engine::Word => {
                let mut from = 0;
                while from < normal.len() {
                    let first = normal[from..].chars().next().map_or(1, char::len_utf8);
                    let to = normal[from + first..].find(SPACE).map_or(normal.len(), |length| from + first + length);
                    emit(from, to, self.lookup(&normal[from..to]));
                    from = to;
                }
            }
            Engine::Char(user_defined) => {
                let mut from = 0;
                while from < normal.len() {
                    let found = user_defined.longest_prefix(&normal.as_bytes()[from..]).map(|(length, _)| length);
                    let length = found.or_else(|| normal[from..].chars().next().map(char::len_utf8)).unwrap_or(1);
                    emit(from, from + length, self.lookup(&normal[from..from + length]));
                    from += length;
                }
            }
        }
        for (_, from, to) in &mut out[first..] {
            (*from, *to) = (origins[*from as usize], origins[*to as usize]);
        }
        Ok(())
    }

    /// The number of what stands in a text: never that of a control piece or an unused one.
    fn lookup(&self, text: &str) -> u32 {
        let found = |&id: &u32| !matches!(self.pieces[id as usize].kind, Kind::Control | Kind::Unused);
        self.id(text).filter(found).unwrap_or(self.unknown)
    }

    /// A text that is put together piece by piece, from its beginning or behind other text.
    pub(crate) fn decoding(&self, begins: bool) -> Decoding {
        Decoding { begins, ..Decoding::default() }
    }

    /// Appends what is complete with the next piece. Control pieces are nothing; bytes that together are no UTF-8 become a U+FFFD each.
    /// `None` for a number that no piece has.
    pub(crate) fn decode_next(&self, state: &mut Decoding, id: u32, out: &mut String) -> Option<()> {
        let piece = self.pieces.get(id as usize)?;
        let piece = if self.shadowed { &self.pieces[self.ids[&piece.text] as usize] } else { piece };
        let mut held = std::mem::take(&mut state.held);
        let text = if self.denormalizer.is_some() { &mut held } else { out };
        let before = text.len();
        if let Some(byte) = (piece.kind == Kind::Byte).then(|| byte(&piece.text)).flatten() {
            state.bytes.push(byte);
            push_bytes(text, &mut state.bytes, false);
        } else {
            push_bytes(text, &mut state.bytes, true);
            state.begins &= !state.space_gone && !state.any && text.len() == before;
            state.space_gone = false;
            match piece.kind {
                Kind::Control => {}
                Kind::Unknown => text.push_str(&self.unknown_surface),
                _ => {
                    let mut rest = &piece.text[..];
                    if state.begins
                        && self.leading != Leading::Stays
                        && let Some(without) = rest.strip_prefix(SPACE)
                    {
                        rest = without;
                        state.space_gone = self.leading == Leading::OneGoes;
                    }
                    for (i, word) in rest.split(SPACE).enumerate() {
                        text.push_str(if i > 0 { " " } else { "" });
                        text.push_str(word);
                    }
                }
            }
        }
        state.any |= text.len() > before;
        state.held = held;
        Some(())
    }

    /// Appends what was held back.
    pub(crate) fn decode_end(&self, state: &mut Decoding, out: &mut String) {
        match &self.denormalizer {
            None => push_bytes(out, &mut state.bytes, true),
            Some(denormalizer) => {
                push_bytes(&mut state.held, &mut state.bytes, true);
                let mut text = String::new();
                denormalizer.normalize(&state.held, &mut text, &mut vec![]);
                out.push_str(&text);
            }
        }
    }
}

/// What is kept between one piece and the next while they become text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decoding {
    /// The beginning of a character, or of what is none.
    bytes: Vec<u8>,
    /// All of the text, where it is normalised at the end.
    held: String,
    begins: bool,
    space_gone: bool,
    /// Whether there is text already.
    any: bool,
}

/// Pieces and scores as SentencePiece's unigram model has them.
fn unigram(pieces: &[Piece], unknown: u32, bytes: &Option<Box<[u32; 256]>>) -> Result<Unigram> {
    let normal = || pieces.iter().filter(|piece| piece.kind == Kind::Normal).map(|piece| piece.score);
    let score = |piece: &Piece| match piece.kind {
        Kind::Normal => Some(f64::from(piece.score)),
        // More than 0 and more the longer it is, so that it is on the best path. (Before release 0.2.2 it was about -0.1.)
        Kind::UserDefined => Some(f64::from((piece.text.len() - 1) as f32 * 0.1)),
        _ => None,
    };
    let rules = Rules {
        scores: pieces.iter().map(score).collect(),
        lowest: f64::from(normal().fold(f32::MAX, f32::min)),
        bytes: bytes.as_ref().map(|bytes| Box::new(bytes.map(Some))),
        precision: Precision::F32,
    };
    Unigram::with_rules(pieces.iter().map(|piece| piece.text.clone()).collect(), Some(unknown), rules)
}

/// The byte that a piece such as `<0x0A>` stands for.
fn byte(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    let upper = |c: u8| c.is_ascii_digit() || (b'A'..=b'F').contains(&c);
    (digits.len() == 2 && digits.bytes().all(upper)).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// Moves bytes to the end of a text, each that belongs to no character as a U+FFFD. The beginning of a character stays, unless it is the end.
fn push_bytes(text: &mut String, bytes: &mut Vec<u8>, end: bool) {
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (valid, open) = match std::str::from_utf8(rest) {
            Ok(whole) => (whole, false),
            Err(error) => {
                (std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or_default(), error.error_len().is_none())
            }
        };
        text.push_str(valid);
        rest = &rest[valid.len()..];
        if !rest.is_empty() {
            if open && !end {
                break;
            }
            text.push(char::REPLACEMENT_CHARACTER);
            rest = &rest[1..];
        }
    }
    bytes.drain(..bytes.len() - rest.len());
}
