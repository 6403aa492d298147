//! Decoders: tokens become text again, one after the other, so that whole texts and streams go the same way.

use serde::{Deserialize, Serialize};

use super::{
    byte_level,
    metaspace::{Metaspace, PrependScheme},
    pattern::Pattern,
};

fn yes() -> bool {
    true
}

/// How tokens become text, in the words of `tokenizer.json` (`decoder`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
#[non_exhaustive]
pub enum Decoder {
    /// One after the other.
    Sequence {
        /// The decoders, in order.
        decoders: Vec<Decoder>,
    },
    /// Visible characters are bytes, and bytes are a text; U+FFFD for what is none.
    ByteLevel {
        /// A matter of the splitter of the same name.
        #[serde(default = "yes")]
        add_prefix_space: bool,
        /// A matter of the template of the same name.
        #[serde(default = "yes")]
        trim_offsets: bool,
        /// A matter of the splitter of the same name.
        #[serde(default = "yes")]
        use_regex: bool,
    },
    /// Pieces inside words lose their prefix, all others get a space before them.
    WordPiece {
        /// The prefix, `##`.
        prefix: String,
        /// Whether spaces before punctuation and contractions go.
        cleanup: bool,
    },
    /// The visible character becomes a space, and goes at the beginning.
    Metaspace(Metaspace),
    /// `<0x0A>` is a byte; U+FFFD for each of those that are no text together.
    ByteFallback,
    /// All tokens are one.
    Fuse,
    /// A character goes at the ends of each token.
    Strip {
        /// The character.
        content: char,
        /// How often at the beginning, at most.
        start: usize,
        /// How often at the end, at most.
        stop: usize,
    },
    /// A text in the place of another, in each token.
    Replace {
        /// What is looked for.
        pattern: Pattern,
        /// What takes its place.
        content: String,
    },
    /// Ends of words become spaces.
    #[serde(rename = "BPEDecoder")]
    Bpe {
        /// What ends a word, `</w>`.
        suffix: String,
    },
}

/// Each step calls the next one.
const MAX_STEPS: usize = 64;
/// How many times as long all replacements together may make a text.
const MAX_TIMES: usize = 4096;

/// A decoder as a row of steps. Each step is handed one token after the other and hands on what becomes of it.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    steps: Vec<Decoder>,
    /// No decoder: tokens with a space between them.
    spaced: bool,
}

/// What a step keeps from token to token.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// Whether a token came.
    begun: bool,
    bytes: Vec<u8>,
    text: String,
    /// How many characters were stripped at the beginning.
    stripped: usize,
    /// The beginning is over: something else than the stripped character came.
    inside: bool,
}

impl Steps {
    pub(super) fn new(decoder: Option<&Decoder>) -> Result<Self, String> {
        let mut steps = Vec::new();
        fn flatten(decoder: &Decoder, steps: &mut Vec<Decoder>) {
            match decoder {
                Decoder::Sequence { decoders } => decoders.iter().for_each(|decoder| flatten(decoder, steps)),
                decoder => steps.push(decoder.clone()),
            }
        }
        if let Some(decoder) = decoder {
            flatten(decoder, &mut steps);
        }
        if steps.len() > MAX_STEPS {
            return Err(format!("expected at most {MAX_STEPS} decoders one after the other, got {}", steps.len()));
        }
        for i in (1..steps.len()).rev() {
            // What bytes give is one token.
            if matches!(steps[i - 1], Decoder::ByteLevel { .. }) {
                steps.insert(i, Decoder::Fuse);
            }
        }
        let longer = |step: &Decoder| match step {
            Decoder::Replace { pattern, content } => content.len().max(1).div_ceil(pattern.least()),
            _ => 1,
        };
        let times = steps
            .iter()
            .map(longer)
            .try_fold(1usize, |times, n| times.checked_mul(n).filter(|times| *times <= MAX_TIMES));
        if times.is_none() {
            return Err(format!(
                "expected decoders that make text at most {MAX_TIMES} times as long, got some that replace it by more"
            ));
        }
        Ok(Self { steps, spaced: decoder.is_none() })
    }

    /// Whether all there is to do is to put bytes together.
    pub(super) fn is_byte_level(&self) -> bool {
        matches!(&self.steps[..], [Decoder::ByteLevel { .. }])
    }

    pub(super) fn begin(&self) -> Vec<State> {
        vec![State::default(); self.steps.len() + 1]
    }

    /// The next token, as long as it is not the last.
    pub(super) fn push(&self, states: &mut [State], token: &str, out: &mut String) {
        if self.spaced {
            if std::mem::replace(&mut states[0].begun, true) {
                out.push(' ');
            }
            out.push_str(token);
            return;
        }
        self.step(0, states, token, out);
    }

    /// What is still held back.
    pub(super) fn finish(&self, states: &mut [State], out: &mut String) {
        for i in 0..self.steps.len() {
            self.end(i, states, out);
        }
    }

    fn step(&self, i: usize, states: &mut [State], token: &str, out: &mut String) {
        let Some(decoder) = self.steps.get(i) else {
            out.push_str(token);
            return;
        };
        let state = &mut states[i];
        let first = !std::mem::replace(&mut state.begun, true);
        match decoder {
            Decoder::Sequence { .. } => unreachable!("sequences are flat here"),
            Decoder::ByteLevel { .. } => {
                state.bytes.extend(byte_level::bytes_of(token));
                let mut text = std::mem::take(&mut state.text);
                take_text(&mut state.bytes, &mut text);
                self.hand_on(i, states, text, out);
            }
            Decoder::WordPiece { prefix, cleanup } => {
                let mut text = std::mem::take(&mut state.text);
                match token.strip_prefix(prefix.as_str()).filter(|_| !first) {
                    Some(rest) => text.push_str(rest),
                    None => {
                        if !first {
                            text.push(' ');
                        }
                        text.push_str(token);
                    }
                }
                if *cleanup {
                    clean_up(&mut text);
                }
                self.hand_on(i, states, text, out);
            }
            Decoder::Metaspace(Metaspace { replacement, prepend_scheme, .. }) => {
                let drop = first && *prepend_scheme != PrependScheme::Never;
                let mut text = std::mem::take(&mut state.text);
                let mut parts = token.split(*replacement);
                text.push_str(parts.next().unwrap_or(""));
                for part in parts {
                    if !drop {
                        text.push(' ');
                    }
                    text.push_str(part);
                }
                self.hand_on(i, states, text, out);
            }
            Decoder::ByteFallback => match byte_of(token) {
                Some(byte) => state.bytes.push(byte),
                None => {
                    self.end_bytes(i, states, out);
                    self.step(i + 1, states, token, out);
                }
            },
            // Behind it all is one token: a step that looks at ends sees them once.
            Decoder::Fuse => match self.steps.get(i + 1..) {
                Some([] | [Decoder::Strip { stop: 0, .. }]) => self.step(i + 1, states, token, out),
                _ => states[i].text.push_str(token),
            },
            Decoder::Strip { content, start, stop } => {
                let fused =
                    i > 0 && matches!(self.steps[i - 1], Decoder::Fuse) && *stop == 0 && i + 1 == self.steps.len();
                if !fused {
                    (state.stripped, state.inside) = (0, false);
                }
                let mut rest = token;
                while !state.inside && !rest.is_empty() {
                    match rest.strip_prefix(*content).filter(|_| state.stripped < *start) {
                        Some(more) => (rest, state.stripped) = (more, state.stripped + 1),
                        None => state.inside = true,
                    }
                }
                for _ in 0..*stop {
                    rest = rest.strip_suffix(*content).unwrap_or(rest);
                }
                self.step(i + 1, states, rest, out);
            }
            Decoder::Replace { pattern, content } => {
                let mut text = std::mem::take(&mut state.text);
                let mut at = 0;
                while let Some((start, end)) = pattern.find(token, at) {
                    text.push_str(&token[at..start]);
                    text.push_str(content);
                    at = end;
                }
                text.push_str(&token[at..]);
                self.hand_on(i, states, text, out);
            }
            Decoder::Bpe { suffix } => {
                // A word's end is a space once something follows, and else nothing.
                let held = std::mem::take(&mut state.text);
                if !held.is_empty() {
                    self.step(i + 1, states, &held.replace(suffix.as_str(), " "), out);
                }
                if suffix.is_empty() || !token.contains(suffix.as_str()) {
                    return self.step(i + 1, states, token, out);
                }
                // A step behind this one is to see the word and its space as one.
                match token
                    .strip_suffix(suffix.as_str())
                    .filter(|word| i + 1 == self.steps.len() && !word.contains(suffix.as_str()))
                {
                    Some(word) => {
                        self.step(i + 1, states, word, out);
                        states[i].text.push_str(suffix);
                    }
                    None => states[i].text.push_str(token),
                }
            }
        }
    }

    /// Hands a text that lies in the buffer of a step on, and gives the buffer back.
    fn hand_on(&self, i: usize, states: &mut [State], mut text: String, out: &mut String) {
        self.step(i + 1, states, &text, out);
        text.clear();
        states[i].text = text;
    }

    fn end(&self, i: usize, states: &mut [State], out: &mut String) {
        match &self.steps[i] {
            Decoder::ByteLevel { .. } => {
                let bytes = std::mem::take(&mut states[i].bytes);
                if !bytes.is_empty() {
                    self.step(i + 1, states, &String::from_utf8_lossy(&bytes), out);
                }
            }
            Decoder::ByteFallback => self.end_bytes(i, states, out),
            Decoder::Bpe { suffix } => {
                let held = std::mem::take(&mut states[i].text).replace(suffix.as_str(), "");
                if !held.is_empty() {
                    self.step(i + 1, states, &held, out);
                }
            }
            Decoder::Fuse => {
                let text = std::mem::take(&mut states[i].text);
                if !text.is_empty() {
                    self.step(i + 1, states, &text, out);
                }
            }
            _ => {}
        }
    }

    /// The end of a run of bytes.
    fn end_bytes(&self, i: usize, states: &mut [State], out: &mut String) {
        let bytes = std::mem::take(&mut states[i].bytes);
        if bytes.is_empty() {
            return;
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) => self.step(i + 1, states, text, out),
            Err(_) => bytes.iter().for_each(|_| self.step(i + 1, states, "\u{FFFD}", out)),
        }
    }
}

/// Takes out of bytes what is text, U+FFFD for what can become none; the beginning of a character stays.
pub(super) fn take_text(bytes: &mut Vec<u8>, text: &mut String) {
    let mut done = 0;
    loop {
        match std::str::from_utf8(&bytes[done..]) {
            Ok(rest) => {
                text.push_str(rest);
                bytes.clear();
                return;
            }
            Err(error) => {
                let valid = done + error.valid_up_to();
                text.push_str(&String::from_utf8_lossy(&bytes[done..valid]));
                match error.error_len() {
                    None => {
                        bytes.drain(..valid);
                        return;
                    }
                    Some(length) => {
                        text.push('\u{FFFD}');
                        done = valid + length;
                    }
                }
            }
        }
    }
}

/// The byte of `<0x0A>`.
fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>').filter(|digits| digits.len() == 2)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// Spaces before punctuation and English contractions go.
fn clean_up(text: &mut String) {
    if !text.contains(' ') {
        return;
    }
    const PAIRS: [(&str, &str); 11] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" do not", " don't"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    for (from, to) in PAIRS {
        if text.contains(from) {
            *text = text.replace(from, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(json: &str, tokens: &[&str]) -> String {
        let decoder = serde_json::from_str(json).unwrap();
        let steps = Steps::new(Some(&decoder)).unwrap();
        let (mut states, mut out) = (steps.begin(), String::new());
        tokens.iter().for_each(|token| steps.push(&mut states, token, &mut out));
        steps.finish(&mut states, &mut out);
        out
    }

    #[test]
    fn each_decoder_does_what_its_name_says() {
        assert_eq!(decode(r#"{"type":"ByteLevel"}"#, &["Ġa", "Ã", "©", "Ã", "b"]), " aé\u{FFFD}b");
        let word_piece = |cleanup| format!(r###"{{"type":"WordPiece","prefix":"##","cleanup":{cleanup}}}"###);
        assert_eq!(decode(&word_piece(false), &["##a", "##b", "c", "."]), "##ab c .");
        assert_eq!(decode(&word_piece(true), &["i", "do", "n't", "."]), "i don't.");
        assert_eq!(
            decode(r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"always"}"#, &["▁a▁", "▁b"]),
            "a b"
        );
        assert_eq!(decode(r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"never"}"#, &["▁a", "▁b"]), " a b");
        // Bytes that are no text together: one sign each.
        assert_eq!(
            decode(r#"{"type":"ByteFallback"}"#, &["<0xC3>", "<0xA9>", "a", "<0x41>", "<0xC3>", "<0xZZ>"]),
            "éa\u{FFFD}\u{FFFD}<0xZZ>"
        );
        assert_eq!(decode(r#"{"type":"BPEDecoder","suffix":"</w>"}"#, &["a", "b</w>", "c</w>d", "e</w>"]), "ab c de");
        assert_eq!(decode(r#"{"type":"Replace","pattern":{"String":"a"},"content":"bb"}"#, &["aa", "ca"]), "bbbbcbb");
        assert_eq!(decode(r#"{"type":"Strip","content":" ","start":1,"stop":0}"#, &["  a", " b"]), " ab");
    }

    #[test]
    fn what_is_fused_is_one_token_for_what_comes_behind() {
        let sequence = |steps: &str| format!(r#"{{"type":"Sequence","decoders":[{steps}]}}"#);
        let strip = r#"{"type":"Strip","content":" ","start":1,"stop":0}"#;
        assert_eq!(decode(&sequence(&format!(r#"{{"type":"Fuse"}},{strip}"#)), &[" a", " b"]), "a b");
        assert_eq!(decode(&sequence(&format!(r#"{{"type":"ByteLevel"}},{strip}"#)), &["Ġa", "Ġb"]), "a b");
        assert_eq!(
            decode(
                &sequence(&format!(r#"{{"type":"Fuse"}},{}"#, r#"{"type":"BPEDecoder","suffix":"</w>"}"#)),
                &["a</w>", "b</w>"]
            ),
            "ab"
        );
    }

    #[test]
    fn decoders_without_end_are_refused() {
        let error = |step: &str, times: usize| {
            let all = vec![step; times].join(",");
            Steps::new(Some(&serde_json::from_str(&format!(r#"{{"type":"Sequence","decoders":[{all}]}}"#)).unwrap()))
                .unwrap_err()
        };
        assert!(error(r#"{"type":"Fuse"}"#, 100_000).contains("at most 64 decoders"));
        assert!(
            error(r#"{"type":"Replace","pattern":{"String":"a"},"content":"aa"}"#, 40).contains("4096 times as long")
        );
    }
}
