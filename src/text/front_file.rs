//! What a file holds of a front door: its settings as JSON, and arrays for what may be long.

use super::analysis::TextSplit;
use super::text_front::TextFront;
use super::tokenizer::Tokenizer;
use super::word_list::WordList;
use crate::error::{Error, Result};
use crate::state::Value;

/// Entries of the vocabulary one after the other, where each ends, and their weights.
const VOCABULARY: &str = "vocabulary";
const VOCABULARY_ENDS: &str = "vocabulary_ends";
const IDF: &str = "idf_weights";
/// The words by which texts are cut.
const WORDS: &str = "words";
const WORD_ENDS: &str = "word_ends";
/// A tokenizer's file.
const TOKENIZER: &str = "tokenizer";
/// What stands among the settings where a tokenizer's file stands beside them.
const BESIDE: &str = r#"{"class":"Tokenizer","config":null}"#;

impl TextFront {
    /// The settings, without what [`arrays`](Self::arrays) gives.
    pub(crate) fn settings(&self) -> Result<String> {
        if let TextFront::Tokenizer(_) = self {
            return Ok(BESIDE.to_owned());
        }
        let mut settings = self.clone();
        if let TextFront::TextVectorization(front) = &mut settings {
            front.forget();
        }
        if let Some(TextSplit::WordList(list)) = settings.split_mut() {
            list.forget();
        }
        serde_json::to_string(&settings).map_err(|e| Error::Config {
            op: "save",
            problem: format!("the settings of the text front cannot be written: {e}"),
            hint: "check them".into(),
        })
    }

    fn split_mut(&mut self) -> Option<&mut TextSplit> {
        match self {
            TextFront::TextVectorization(front) => Some(front.split_mut()),
            TextFront::HashedNgrams(front) => Some(front.split_mut()),
            TextFront::Tokenizer(_) => None,
        }
    }

    /// What stands beside the settings.
    pub(crate) fn arrays(&self) -> Vec<(&'static str, Value)> {
        let mut out = Vec::new();
        if let TextFront::TextVectorization(front) = self {
            out.extend(put([VOCABULARY, VOCABULARY_ENDS], &front.tokens()));
            if !front.idf_weights().is_empty() {
                out.push((IDF, Value::F64(front.idf_weights().to_vec())));
            }
        }
        let split = match self {
            TextFront::TextVectorization(front) => Some(front.the_split()),
            TextFront::HashedNgrams(front) => Some(front.the_split()),
            TextFront::Tokenizer(front) => {
                out.push((TOKENIZER, Value::U8(front.to_state().into_bytes())));
                None
            }
        };
        if let Some(TextSplit::WordList(list)) = split {
            out.extend(put([WORDS, WORD_ENDS], &list.sorted()));
        }
        out
    }

    /// The front door of a file.
    pub(crate) fn read(settings: &str, mut array: impl FnMut(&str) -> Result<Option<Value>>) -> Result<Self> {
        if settings == BESIDE {
            let Some(Value::U8(file)) = array(TOKENIZER)? else {
                return Err(damaged(format!("the array {TOKENIZER} of its text front is not there")));
            };
            let file = String::from_utf8(file).map_err(|_| damaged(format!("the array {TOKENIZER} is not UTF-8")))?;
            let front = TextFront::from(Tokenizer::from_json(&file)?);
            front.check()?;
            return Ok(front);
        }
        let mut front: TextFront =
            serde_json::from_str(settings).map_err(|e| damaged(format!("its settings cannot be read: {e}")))?;
        if let Some(TextSplit::WordList(list)) = front.split_mut() {
            let text = get([WORDS, WORD_ENDS], &mut array)?;
            list.with_words_of(WordList::from_words(text.tokens()?)?);
        }
        if let TextFront::TextVectorization(own) = front {
            let text = get([VOCABULARY, VOCABULARY_ENDS], &mut array)?;
            let idf = match array(IDF)? {
                None => Vec::new(),
                Some(Value::F64(idf)) => idf,
                Some(_) => return Err(damaged(format!("{IDF} are no F64"))),
            };
            front = own.with_learned(&text.tokens()?, idf)?.into();
        }
        front.check()?;
        Ok(front)
    }
}

fn damaged(problem: String) -> Error {
    Error::Config { op: "load", problem, hint: "save the model again".into() }
}

/// Tokens as two arrays.
fn put([bytes, ends]: [&'static str; 2], tokens: &[&str]) -> [(&'static str, Value); 2] {
    let mut end = 0;
    let all = tokens.iter().map(|token| {
        end += token.len() as u64;
        end
    });
    let all = all.collect();
    [(bytes, Value::U8(tokens.concat().into_bytes())), (ends, Value::U64(all))]
}

/// Two arrays that are tokens.
struct Text {
    text: String,
    ends: Vec<u64>,
}

fn get([bytes, ends]: [&'static str; 2], array: &mut impl FnMut(&str) -> Result<Option<Value>>) -> Result<Text> {
    let (Some(Value::U8(text)), Some(Value::U64(all))) = (array(bytes)?, array(ends)?) else {
        return Err(damaged(format!("the arrays {bytes} and {ends} of its text front are not there")));
    };
    let text = String::from_utf8(text).map_err(|_| damaged(format!("the array {bytes} is not UTF-8")))?;
    Ok(Text { text, ends: all })
}

impl Text {
    fn tokens(&self) -> Result<Vec<&str>> {
        let mut start = 0;
        let tokens = self.ends.iter().map(|&end| {
            let end = usize::try_from(end).ok()?;
            let token = self.text.get(start..end)?;
            start = end;
            Some(token)
        });
        let tokens: Option<Vec<&str>> = tokens.collect();
        let whole = self.ends.last().is_none_or(|end| *end == self.text.len() as u64);
        tokens
            .filter(|_| whole)
            .ok_or_else(|| damaged("the ends of its entries do not lie in their text one after the other".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;
    use crate::text::{HashedNgrams, OutputMode, StopWords, TextVectorization};

    fn fronts() -> Vec<TextFront> {
        let texts = ["今天天气好 ok", "好天气 a\nb", "今天"];
        let list = WordList::from_words(["今天", "天气"]).unwrap();
        let new = || TextVectorization::new().stop_words(StopWords::chinese());
        vec![
            new().split(list.clone()).adapt(&texts).unwrap().into(),
            new().split(TextSplit::Character).output_mode(OutputMode::TfIdf).ngrams([2]).adapt(&texts).unwrap().into(),
            new().max_tokens(2).adapt(&texts).unwrap().into(),
            HashedNgrams::new(64).split(list).into(),
            HashedNgrams::new(64).ids(3).into(),
        ]
    }

    #[test]
    fn there_and_back() {
        for front in fronts() {
            let (settings, arrays) = (front.settings().unwrap(), front.arrays());
            let array = |name: &str| Ok(arrays.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone()));
            assert_eq!(TextFront::read(&settings, array).unwrap(), front, "{settings}");
            // As serde values they are whole.
            let whole = serde_json::to_string(&front).unwrap();
            assert_eq!(serde_json::from_str::<TextFront>(&whole).unwrap(), front);
            // Without its arrays it is damaged, where it has some.
            let none = TextFront::read(&settings, |_| Ok(None));
            assert_eq!(none.is_ok(), arrays.is_empty());
        }
    }

    #[test]
    fn damage_is_an_error() {
        let front = &fronts()[1];
        let settings = front.settings().unwrap();
        let with = |name: &str, value: Value| {
            let arrays = front.arrays();
            let found = |n: &str| arrays.iter().find(|(own, _)| *own == n).map(|(_, value)| value.clone());
            let array = |n: &str| Ok(if n == name { Some(value.clone()) } else { found(n) });
            TextFront::read(&settings, array).unwrap_err().to_string()
        };
        assert!(with(VOCABULARY, Value::U8(vec![0xff])).contains("not UTF-8"));
        for ends in [vec![u64::MAX], vec![4, 2], vec![1], vec![]] {
            let error = with(VOCABULARY_ENDS, Value::U64(ends));
            assert!(error.contains("one after the other") || error.contains("vocabulary"), "{error}");
        }
        assert!(with(IDF, Value::F64(vec![1.0])).contains("the mode was changed"));
        assert!(with(IDF, Value::F64(vec![f64::NAN; 99])).contains("finite"));
        assert!(with(IDF, Value::U8(vec![1])).contains("no F64"));
        assert!(TextFront::read("{\"class\":\"Other\"}", |_| Ok(None)).is_err());
        let more = settings.replace("\"ngrams\"", "\"other\":1,\"ngrams\"");
        assert!(TextFront::read(&more, |_| Ok(None)).unwrap_err().to_string().contains("unknown field"));
    }
    /// Whatever is changed in a file: an error, or a front that takes texts.
    #[test]
    fn any_damage_is_an_error_or_a_front() {
        let mut state = 3u64;
        let mut draw = |n: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % n.max(1)
        };
        let mut taken = 0;
        for front in fronts() {
            let (settings, arrays) = (front.settings().unwrap(), front.arrays());
            for _ in 0..3000 {
                let (mut settings, mut arrays) = (settings.clone().into_bytes(), arrays.clone());
                for _ in 0..=draw(2) {
                    match draw(arrays.len() + 1).checked_sub(1).map(|i| &mut arrays[i].1) {
                        None => {
                            let at = draw(settings.len());
                            let bytes = b"0123456789-.,:[]{}\"enultrf ";
                            let byte = bytes[draw(bytes.len())];
                            match draw(3) {
                                0 => drop(settings.remove(at)),
                                1 => settings.insert(at, byte),
                                _ => settings[at] = byte,
                            }
                        }
                        Some(Value::U8(bytes)) if !bytes.is_empty() => {
                            let at = draw(bytes.len());
                            bytes[at] = [b'a', b' ', 0, 0xff, 0xe4][draw(5)];
                        }
                        Some(Value::U64(ends)) if !ends.is_empty() => {
                            let at = draw(ends.len());
                            ends[at] = [0, 1, ends[at].wrapping_add(1), ends[at].saturating_sub(1), u64::MAX][draw(5)];
                        }
                        Some(Value::F64(idf)) => drop(idf.pop()),
                        Some(_) => {}
                    }
                }
                let settings = String::from_utf8_lossy(&settings);
                let array = |name: &str| Ok(arrays.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone()));
                let Ok(front) = TextFront::read(&settings, array) else { continue };
                // Without those that ask for much memory, which they may.
                if front.output_shape().is_free() || front.output_shape().last() < 1 << 20 {
                    taken += 1;
                    let x: Tensor<f64> = front.transform(&["今天天气好 ok a b", ""]).unwrap();
                    assert_eq!(x.dims()[0], 2);
                }
            }
        }
        assert!(taken > 500, "{taken}");
    }
}
