//! What a SentencePiece model's file says.

use std::path::Path;

use super::wire::{Fields, Value};
use crate::error::{Error, Result};

/// The contents of a SentencePiece `.model` file: a protocol-buffers message `ModelProto` (sentencepiece_model.proto). What is not needed to
/// cut and to join texts is passed over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ModelFile {
    pub pieces: Vec<Piece>,
    pub algorithm: Algorithm,
    /// Whether characters that are no piece become the pieces of their bytes.
    pub byte_fallback: bool,
    /// Whether the space is added behind a text instead of before it.
    pub treat_whitespace_as_suffix: bool,
    /// The texts of the special pieces; each counts where there is a control piece of that text.
    pub begin: String,
    pub end: String,
    pub pad: String,
    /// What an unknown piece is decoded to.
    pub unknown_surface: String,
    pub normalizer: Normalization,
    /// What is done to decoded texts, for the few models that have it.
    pub denormalizer: Normalization,
}

/// A piece of a SentencePiece model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    pub text: String,
    pub score: f32,
    pub kind: Kind,
}

/// What a piece is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    /// Stands for what is no piece.
    Unknown,
    /// Never comes from a text, and is nothing in a decoded one.
    Control,
    /// Always found where its text stands.
    UserDefined,
    /// Cut again, into the pieces that it was merged from.
    Unused,
    /// A byte, `<0x00>` to `<0xFF>`.
    Byte,
}

/// How a text is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Unigram,
    Bpe,
    Word,
    Char,
}

/// What is done to a text before it is cut.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Normalization {
    /// The name of the rules, `nmt_nfkc` or `identity` for instance.
    pub name: String,
    /// The table for a `Charsmap`; empty for none.
    pub charsmap: Vec<u8>,
    /// A space before (or behind) the text.
    pub add_dummy_prefix: bool,
    /// No spaces at the ends, one where several stand.
    pub remove_extra_whitespaces: bool,
    /// Spaces become `▁`.
    pub escape_whitespaces: bool,
}

impl Default for Normalization {
    fn default() -> Self {
        Normalization {
            name: String::new(),
            charsmap: vec![],
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        }
    }
}

impl Default for ModelFile {
    fn default() -> Self {
        ModelFile {
            pieces: vec![],
            algorithm: Algorithm::Unigram,
            byte_fallback: false,
            treat_whitespace_as_suffix: false,
            begin: "<s>".into(),
            end: "</s>".into(),
            pad: "<pad>".into(),
            unknown_surface: " \u{2047} ".into(),
            normalizer: Normalization::default(),
            denormalizer: Normalization::default(),
        }
    }
}

impl ModelFile {
    /// Reads a file's bytes; `file` is its name, for errors.
    ///
    /// # Errors
    /// [`Error::File`] for bytes that are no such message or cut off, with the place; for pieces that are empty, not UTF-8 or have a score that
    /// is not finite, and for kinds that nobody knows.
    pub(crate) fn read(bytes: &[u8], file: &Path) -> Result<Self> {
        let mut model = ModelFile::default();
        let read = Reader { file };
        let mut fields = Fields::new(bytes);
        while let Some((number, value)) = read.next(&mut fields, || "the model".into())? {
            match number {
                1 => {
                    let at = model.pieces.len();
                    model.pieces.push(read.piece(read.message(value, || format!("piece {at}"))?, at)?);
                }
                2 => read.trainer(read.message(value, || "trainer_spec".into())?, &mut model)?,
                3 => read.normalization(read.message(value, || "normalizer_spec".into())?, &mut model.normalizer)?,
                5 => {
                    read.normalization(read.message(value, || "denormalizer_spec".into())?, &mut model.denormalizer)?
                }
                _ => {}
            }
        }
        if model.pieces.is_empty() {
            return Err(read.wrong("it has no pieces".into()));
        }
        Ok(model)
    }
}

/// Reads messages, with the file's name at hand for errors.
struct Reader<'a> {
    file: &'a Path,
}

impl Reader<'_> {
    fn wrong(&self, problem: String) -> Error {
        let hint = "take a SentencePiece model (*.model) as it was published, downloaded whole";
        Error::file(self.file, format!("this is no SentencePiece model: {problem}"), hint)
    }

    fn next<'b>(&self, fields: &mut Fields<'b>, what: impl FnOnce() -> String) -> Result<Option<(u32, Value<'b>)>> {
        fields.next().map_err(|problem| self.wrong(format!("{} {problem}", what())))
    }

    fn message<'b>(&self, value: Value<'b>, what: impl FnOnce() -> String) -> Result<Fields<'b>> {
        match value {
            Value::Bytes(fields) => Ok(fields),
            _ => Err(self.wrong(format!("{} is a number where a message is expected", what()))),
        }
    }

    fn text(&self, value: Value<'_>, what: impl FnOnce() -> String) -> Result<String> {
        let bytes = self.bytes(value, what)?;
        let wrong = |what: String| self.wrong(format!("{what} is not UTF-8"));
        String::from_utf8(bytes.0).map_err(|_| wrong(bytes.1))
    }

    /// The bytes of a value, and what it is once more.
    fn bytes(&self, value: Value<'_>, what: impl FnOnce() -> String) -> Result<(Vec<u8>, String)> {
        match value {
            Value::Bytes(fields) => Ok((fields.rest().to_vec(), what())),
            _ => Err(self.wrong(format!("{} is a number where bytes are expected", what()))),
        }
    }

    fn flag(&self, value: Value<'_>, what: &str) -> Result<bool> {
        self.number(value, what).map(|number| number != 0)
    }

    fn number(&self, value: Value<'_>, what: &str) -> Result<u64> {
        match value {
            Value::Number(number) => Ok(number),
            _ => Err(self.wrong(format!("{what} is not a whole number"))),
        }
    }

    fn piece(&self, mut fields: Fields<'_>, at: usize) -> Result<Piece> {
        let mut piece = Piece { text: String::new(), score: 0.0, kind: Kind::Normal };
        while let Some((number, value)) = self.next(&mut fields, || format!("piece {at}"))? {
            match (number, value) {
                (1, _) => piece.text = self.text(value, || format!("the text of piece {at}"))?,
                (2, Value::Fixed32(bits)) => piece.score = f32::from_bits(bits),
                (2, _) => return Err(self.wrong(format!("the score of piece {at} is no float"))),
                (3, _) => {
                    piece.kind = match self.number(value, "the type of a piece")? {
                        1 => Kind::Normal,
                        2 => Kind::Unknown,
                        3 => Kind::Control,
                        4 => Kind::UserDefined,
                        5 => Kind::Unused,
                        6 => Kind::Byte,
                        other => {
                            return Err(self.wrong(format!("piece {at} is of type {other}, where 1 to 6 are known")));
                        }
                    }
                }
                _ => {}
            }
        }
        if piece.text.is_empty() {
            return Err(self.wrong(format!("piece {at} is empty")));
        }
        if !piece.score.is_finite() {
            return Err(self.wrong(format!("the score of piece {at} ({:?}) is {}", piece.text, piece.score)));
        }
        Ok(piece)
    }

    fn trainer(&self, mut fields: Fields<'_>, model: &mut ModelFile) -> Result<()> {
        while let Some((number, value)) = self.next(&mut fields, || "trainer_spec".into())? {
            match number {
                3 => {
                    model.algorithm = match self.number(value, "model_type")? {
                        1 => Algorithm::Unigram,
                        2 => Algorithm::Bpe,
                        3 => Algorithm::Word,
                        4 => Algorithm::Char,
                        other => return Err(self.wrong(format!("model_type is {other}, where 1 to 4 are known"))),
                    }
                }
                24 => model.treat_whitespace_as_suffix = self.flag(value, "treat_whitespace_as_suffix")?,
                35 => model.byte_fallback = self.flag(value, "byte_fallback")?,
                44 => model.unknown_surface = self.text(value, || "unk_surface".into())?,
                46 => model.begin = self.text(value, || "bos_piece".into())?,
                47 => model.end = self.text(value, || "eos_piece".into())?,
                48 => model.pad = self.text(value, || "pad_piece".into())?,
                _ => {}
            }
        }
        Ok(())
    }

    fn normalization(&self, mut fields: Fields<'_>, spec: &mut Normalization) -> Result<()> {
        while let Some((number, value)) = self.next(&mut fields, || "a normalizer_spec".into())? {
            match number {
                1 => spec.name = self.text(value, || "the name of the normalizer_spec".into())?,
                2 => spec.charsmap = self.bytes(value, || "precompiled_charsmap".into())?.0,
                3 => spec.add_dummy_prefix = self.flag(value, "add_dummy_prefix")?,
                4 => spec.remove_extra_whitespaces = self.flag(value, "remove_extra_whitespaces")?,
                5 => spec.escape_whitespaces = self.flag(value, "escape_whitespaces")?,
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bytes, number};
    use super::*;

    /// A piece as it stands in a file.
    pub(crate) fn piece(text: &str, score: f32, kind: u64) -> Vec<u8> {
        let mut fields = bytes(1, text.as_bytes());
        fields.push(2 << 3 | 5);
        fields.extend(score.to_le_bytes());
        fields.extend(number(3, kind));
        bytes(1, &fields)
    }

    fn small() -> Vec<u8> {
        let trainer =
            [number(3, 2), number(4, 300), number(35, 1), bytes(46, b"[B]"), bytes(1, b"corpus.txt")].concat();
        let normalizer = [bytes(1, b"identity"), number(4, 0), bytes(6, b"rules")].concat();
        [
            piece("<unk>", 0.0, 2),
            piece("▁a", -1.5, 1),
            piece("x", 0.0, 4),
            bytes(2, &trainer),
            bytes(3, &normalizer),
            number(99, 7),
        ]
        .concat()
    }

    fn read(bytes: &[u8]) -> Result<ModelFile> {
        ModelFile::read(bytes, Path::new("t.model"))
    }

    #[test]
    fn what_is_there_is_read_and_the_rest_has_its_default() {
        let model = read(&small()).unwrap();
        let texts: Vec<_> = model.pieces.iter().map(|piece| (&piece.text[..], piece.score, piece.kind)).collect();
        assert_eq!(texts, [("<unk>", 0.0, Kind::Unknown), ("▁a", -1.5, Kind::Normal), ("x", 0.0, Kind::UserDefined)]);
        assert_eq!(
            (model.algorithm, model.byte_fallback, &model.begin[..], &model.end[..]),
            (Algorithm::Bpe, true, "[B]", "</s>")
        );
        let spec = Normalization { name: "identity".into(), remove_extra_whitespaces: false, ..Default::default() };
        assert_eq!((model.normalizer, model.denormalizer), (spec, Normalization::default()));
    }

    #[test]
    fn damaged_files_are_errors_that_say_where() {
        let whole = small();
        for end in 0..whole.len() {
            // Cut between two fields it may be whole, anywhere else it is not.
            if let Err(error) = read(&whole[..end]) {
                let error = error.to_string();
                assert!(error.contains("t.model") && error.contains("no SentencePiece model"), "{error}");
            }
        }
        let error = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        assert!(error(b"").contains("it has no pieces"));
        assert!(error(&whole[..9]).contains("cut off: at byte 2 a field of 14 bytes begins, and 7 are left"));
        assert!(error(&piece("", 0.0, 1)).contains("piece 0 is empty"));
        assert!(error(&piece("a", f32::NAN, 1)).contains("score of piece 0 (\"a\") is NaN"));
        assert!(error(&piece("a", 0.0, 9)).contains("of type 9"));
        assert!(error(&bytes(1, &bytes(1, &[0xFF]))).contains("the text of piece 0 is not UTF-8"));
        assert!(error(&number(1, 5)).contains("piece 0 is a number"));
        assert!(error(&bytes(2, &number(3, 5))).contains("model_type is 5"));
        // Any byte changed: an error or a model, no panic.
        for at in 0..whole.len() {
            for change in [1, 2, 4, 8, 0x80, 0xFF] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                let _ = read(&bytes);
            }
        }
    }
}
