//! SentencePiece models, as SentencePiece itself reads them.

mod bpe;
pub(crate) mod file;
mod normalizer;
#[cfg(test)]
mod testing;
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
    /// What pieces are in a decoded text (where they do not begin it), one behind the other; where each ends.
    surfaces: String,
    ends: Vec<usize>,
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
        let user_defined =
            || pieces.iter().filter(|piece| piece.kind == Kind::UserDefined).map(|piece| &piece.text[..]);
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
        let (mut surfaces, mut ends) = (String::new(), Vec::with_capacity(pieces.len()));
        for piece in pieces {
            match piece.kind {
                Kind::Control => {}
                Kind::Unknown => surfaces.push_str(&model.unknown_surface),
                _ => surfaces.push_str(&piece.text.replace(SPACE, " ")),
            }
            ends.push(surfaces.len());
        }
        Ok(SentencePiece {
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
            surfaces,
            ends,
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
        self.normalizer.normalize(text, &mut scratch.text, &mut scratch.origins)
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
                    out.extend(
                        normal[from as usize..to as usize].bytes().map(|byte| (bytes[usize::from(byte)], from, to)),
                    );
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
        let id = if self.shadowed { self.ids[&piece.text] as usize } else { id as usize };
        let piece = &self.pieces[id];
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
            let mut surface = &self.surfaces[id.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[id]];
            let starts = piece.kind != Kind::Unknown && piece.text.starts_with(SPACE);
            if state.begins && self.leading != Leading::Stays && starts {
                surface = &surface[1..];
                state.space_gone = self.leading == Leading::OneGoes;
            }
            text.push_str(surface);
        }
        state.any |= text.len() > before;
        state.held = held;
        Some(())
    }

    /// Appends what was held back.
    ///
    /// # Errors
    /// [`Error::Argument`] for a text that is too long to be normalised.
    pub(crate) fn decode_end(&self, state: &mut Decoding, out: &mut String) -> Result<()> {
        let Some(denormalizer) = &self.denormalizer else {
            push_bytes(out, &mut state.bytes, true);
            return Ok(());
        };
        push_bytes(&mut state.held, &mut state.bytes, true);
        let mut text = String::new();
        denormalizer.normalize(&state.held, &mut text, &mut vec![])?;
        out.push_str(&text);
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::file::Normalization;
    use super::*;

    impl SentencePiece {
        fn decode(&self, ids: &[u32]) -> Result<String> {
            let (mut state, mut text) = (self.decoding(true), String::new());
            for (position, &id) in ids.iter().enumerate() {
                let unknown =
                    || Error::argument("decode", "ids", "pieces", format!("{id} at position {position}"), "look at it");
                self.decode_next(&mut state, id, &mut text).ok_or_else(unknown)?;
            }
            self.decode_end(&mut state, &mut text)?;
            Ok(text)
        }
    }

    /// A model with one of each kind; what it does was seen in SentencePiece 0.2.3.
    fn model(algorithm: Algorithm, change: impl FnOnce(&mut ModelFile)) -> SentencePiece {
        let pieces = [
            ("<unk>", 0.0, Kind::Unknown),
            ("<s>", 0.0, Kind::Control),
            ("</s>", 0.0, Kind::Control),
            ("▁", -3.0, Kind::Normal),
            ("▁a", -1.0, Kind::Normal),
            ("a", -2.0, Kind::Normal),
            ("b", -2.5, Kind::Normal),
            ("ab", -2.0, Kind::Normal),
            ("▁ab", -1.5, Kind::Unused),
            ("[x]", 0.0, Kind::UserDefined),
            ("bb", -1.2, Kind::Normal),
            ("▁▁", -2.0, Kind::Normal),
        ];
        let pieces = pieces.map(|(text, score, kind)| Piece { text: text.to_owned(), score, kind }).into();
        let mut model = ModelFile { algorithm, pieces, ..Default::default() };
        change(&mut model);
        SentencePiece::new(model).unwrap()
    }

    fn with_bytes(model: &mut ModelFile) {
        model.byte_fallback = true;
        let byte = |byte| Piece { text: format!("<0x{byte:02X}>"), score: 0.0, kind: Kind::Byte };
        model.pieces.extend((0..=255).map(byte));
    }

    fn encode(model: &SentencePiece, text: &str) -> Vec<(u32, u32, u32)> {
        let mut out = vec![];
        model.encode(text, &mut Scratch::default(), &mut out).unwrap();
        out
    }

    /// The ids, which decode to `back`.
    fn ids(model: &SentencePiece, text: &str, back: &str) -> Vec<u32> {
        let ids: Vec<u32> = encode(model, text).into_iter().map(|piece| piece.0).collect();
        assert_eq!(model.decode(&ids).unwrap(), back, "{ids:?}");
        ids
    }

    #[test]
    fn pieces_of_every_kind() {
        for algorithm in [Algorithm::Unigram, Algorithm::Bpe] {
            let model = model(algorithm, |_| ());
            assert_eq!(model.normalize(" ab  bb ").unwrap(), "▁ab▁bb");
            assert_eq!(encode(&model, " ab  bb "), [(4, 1, 2), (6, 2, 3), (3, 3, 5), (10, 5, 7)]);
            assert_eq!(ids(&model, " ab  bb ", "ab bb"), [4, 6, 3, 10]);
            assert_eq!(ids(&model, "a[x]b[x", "a[x]b \u{2047} "), [4, 9, 6, 0]);
            assert_eq!(encode(&model, "abb cab</s>")[3..], [(0, 4, 5), (7, 5, 7), (0, 7, 11)]);
            assert_eq!(ids(&model, "a▁b", "a b"), [4, 3, 6]);
            assert_eq!((ids(&model, "", ""), ids(&model, "   ", "")), (vec![], vec![]));
            assert_eq!(model.unknown(), 0);
            assert_eq!(model.decode(&[1, 4, 2, 3]).unwrap(), "a ");
            let error = model.decode(&[4, 12]).unwrap_err().to_string();
            assert!(error.contains("12 at position 1"), "{error}");
        }
        assert_eq!(ids(&model(Algorithm::Unigram, |_| ()), "bbbbb a", "bbbbb a"), [3, 6, 10, 10, 4]);
        assert_eq!(ids(&model(Algorithm::Bpe, |_| ()), "bbbbb a", "bbbbb a"), [3, 10, 10, 6, 4]);
        assert_eq!(ids(&model(Algorithm::Word, |_| ()), "bbbbb a", " \u{2047}  a"), [0, 4]);
        assert_eq!(ids(&model(Algorithm::Char, |_| ()), "a[x]b[x", "a[x]b \u{2047} "), [3, 5, 9, 6, 0]);
    }

    #[test]
    fn spaces_are_kept_or_stand_behind() {
        let mut kept = Normalization { remove_extra_whitespaces: false, ..Default::default() };
        let model_kept = model(Algorithm::Bpe, |model| model.normalizer = kept.clone());
        assert_eq!(encode(&model_kept, " ab  bb ")[..4], [(3, 0, 0), (4, 0, 2), (6, 2, 3), (11, 3, 5)]);
        assert_eq!(ids(&model_kept, "   ", "   "), [11, 11]);
        kept.add_dummy_prefix = false;
        let bytes = model(Algorithm::Bpe, |model| {
            model.normalizer = kept;
            with_bytes(model);
        });
        assert_eq!(ids(&bytes, " ab  bb ", " ab  bb "), [4, 6, 11, 10, 3]);
        assert_eq!(ids(&bytes, "ab\u{3000}é", "ab\u{3000}é"), [7, 239, 140, 140, 207, 181]);
        assert_eq!(encode(&bytes, "é"), [(207, 0, 2), (181, 0, 2)]);
        let suffix = model(Algorithm::Unigram, |model| {
            model.treat_whitespace_as_suffix = true;
            with_bytes(model);
        });
        assert_eq!(ids(&suffix, " ab  bb ", "ab bb "), [7, 3, 10, 3]);
        assert_eq!(encode(&suffix, "bbbbb a"), [(6, 0, 1), (10, 1, 3), (10, 3, 5), (4, 5, 7), (3, 7, 7)]);
    }

    #[test]
    fn bytes_become_characters_where_they_are_some() {
        let model = model(Algorithm::Unigram, with_bytes);
        let byte = |byte: u8| 12 + u32::from(byte);
        let ids = [byte(0xC3), byte(0xA9), byte(0xC3), 5, byte(0xE4), byte(0xB8), byte(0xFF), byte(b'x')];
        assert_eq!(model.decode(&ids).unwrap(), "é\u{FFFD}a\u{FFFD}\u{FFFD}\u{FFFD}x");
        assert_eq!(
            (byte_of("<0x0A>"), byte_of("<0x0a>"), byte_of("<0x+A>"), byte_of("<0x100>")),
            (Some(10), None, None, None)
        );
    }

    fn byte_of(piece: &str) -> Option<u8> {
        byte(piece)
    }

    #[test]
    fn unused_pieces_are_taken_apart() {
        let unused = |model: &mut ModelFile| {
            let more = [
                ("abb", -0.5, Kind::Unused),
                ("x", -4.0, Kind::Unused),
                ("xabb", -0.1, Kind::Normal),
                ("xa", -0.2, Kind::Unused),
            ];
            model.pieces.extend(more.map(|(text, score, kind)| Piece { text: text.to_owned(), score, kind }));
        };
        let model = model(Algorithm::Bpe, unused);
        assert_eq!(ids(&model, "cabb", " \u{2047} abb"), [3, 0, 5, 10]);
        assert_eq!(ids(&model, "xa", " \u{2047} a"), [3, 0, 5]);
        assert_eq!(ids(&model, "xabb", "xabb"), [3, 14]);
    }

    #[test]
    fn merging_by_a_heap_is_merging_by_looking() {
        // As the definition has it, on strings; words of up to 24 characters and texts of more go different ways.
        fn naive(pieces: &[Piece], text: &str) -> Vec<String> {
            let mut parts: Vec<String> = text.chars().map(String::from).collect();
            let score =
                |two: &[String]| pieces.iter().find(|piece| piece.text == two.concat()).map(|piece| piece.score);
            loop {
                let pairs = parts.windows(2).enumerate().filter_map(|(i, two)| Some((i, score(two)?)));
                let best = pairs.fold(None, |best: Option<(usize, f32)>, pair| match best {
                    Some(best) if best.1 >= pair.1 => Some(best),
                    _ => Some(pair),
                });
                let Some((i, _)) = best else { return parts };
                let right = parts.remove(i + 1);
                parts[i] += &right;
            }
        }
        let mut random = 3u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for round in 0..40 {
            let letters = if round % 2 == 0 { ["a", "b", "c", "▁"] } else { ["a", "é", "▁", "▁"] };
            let mut string = |most| (0..=next(most)).map(|_| letters[next(4) as usize]).collect::<String>();
            let mut pieces = vec![Piece { text: "<unk>".into(), score: 0.0, kind: Kind::Unknown }];
            for i in 0..60u8 {
                let text = if i < 4 { letters[usize::from(i)].to_owned() } else { string(4) };
                if pieces.iter().all(|piece| piece.text != text) {
                    pieces.push(Piece { text, score: -f32::from(i % 11), kind: Kind::Normal });
                }
            }
            let texts: Vec<String> = [5, 20, 60].into_iter().cycle().take(20).map(&mut string).collect();
            let normalizer =
                Normalization { add_dummy_prefix: false, remove_extra_whitespaces: false, ..Default::default() };
            let file =
                ModelFile { algorithm: Algorithm::Bpe, pieces: pieces.clone(), normalizer, ..Default::default() };
            let model = SentencePiece::new(file).unwrap();
            for text in texts {
                let parts: Vec<&str> =
                    encode(&model, &text).iter().map(|piece| &model.pieces()[piece.0 as usize].text[..]).collect();
                assert_eq!(parts, naive(&pieces, &text), "{text}");
            }
        }
    }

    #[test]
    fn long_runs() {
        let powers =
            (0..10).map(|n| Piece { text: "a".repeat(1 << n), score: -1.0 - n as f32 / 16.0, kind: Kind::Normal });
        let unknown = Piece { text: "<unk>".into(), score: 0.0, kind: Kind::Unknown };
        let pieces: Vec<Piece> = [unknown].into_iter().chain(powers).collect();
        for algorithm in [Algorithm::Unigram, Algorithm::Bpe, Algorithm::Char, Algorithm::Word] {
            let file = ModelFile { algorithm, pieces: pieces.clone(), ..Default::default() };
            let out = encode(&SentencePiece::new(file).unwrap(), &"a".repeat(200_000));
            assert!(out.windows(2).all(|two| two[0].2 == two[1].1) && out.last().unwrap().2 == 200_000);
            let most = if algorithm == Algorithm::Char { 200_001 } else { 500 };
            assert!(out.len() <= most, "{} {algorithm:?}", out.len());
        }
    }

    #[test]
    fn models_that_cannot_be() {
        let error = |change: &dyn Fn(&mut ModelFile)| {
            let mut file = ModelFile::default();
            let piece = |text: &str, kind| Piece { text: text.to_owned(), score: -1.0, kind };
            file.pieces = vec![piece("<unk>", Kind::Unknown), piece("a", Kind::Normal)];
            assert!(SentencePiece::new(file.clone()).is_ok());
            change(&mut file);
            SentencePiece::new(file).err().unwrap().to_string()
        };
        assert!(error(&|file| file.pieces[0].kind = Kind::Control).contains("no unknown piece"));
        assert!(error(&|file| file.pieces[1].kind = Kind::Unknown).contains("pieces 0 and 1 are both the unknown one"));
        assert!(
            error(&|file| file.pieces.push(file.pieces[1].clone())).contains("piece 2 (\"a\") is piece 1 once more")
        );
        assert!(error(&|file| file.pieces[1].kind = Kind::Byte).contains("byte_fallback is off"));
        assert!(error(&|file| file.byte_fallback = true).contains("there is no byte <0x00>"));
        let bad_byte = |file: &mut ModelFile| {
            with_bytes(file);
            file.pieces[1].kind = Kind::Byte;
        };
        assert!(error(&bad_byte).contains("(\"a\") is to be a byte"));
        assert!(error(&|file| file.pieces[1].text = "a".repeat(1025)).contains("1025 bytes"));
        assert!(error(&|file| file.normalizer.charsmap = vec![1]).contains("precompiled_charsmap"));
    }
}
