//! Templates: the special tokens around one text or two, and which offsets leave out their spaces.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{aligned_text::Span, encoding::Encoding};

/// One of the two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Sequence {
    /// The first.
    A,
    /// The second.
    B,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub enum TemplatePart {
    /// A special token.
    SpecialToken {
        /// Its name in `special_tokens`.
        id: String,
        /// Its type id.
        type_id: u32,
    },
    /// A text.
    Sequence {
        /// Which.
        id: Sequence,
        /// The type id of its tokens.
        type_id: u32,
    },
}

/// What a name in a template stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateToken {
    /// Its name.
    pub id: String,
    /// The ids that are put in.
    pub ids: Vec<u32>,
    /// Their tokens.
    pub tokens: Vec<String>,
}

fn yes() -> bool {
    true
}

/// What is put around the tokens of a text, in the words of `tokenizer.json` (`post_processor`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
#[non_exhaustive]
pub enum Template {
    /// One after the other.
    Sequence {
        /// The templates, in order.
        processors: Vec<Template>,
    },
    /// Parts in order.
    TemplateProcessing {
        /// For one text.
        single: Vec<TemplatePart>,
        /// For two.
        pair: Vec<TemplatePart>,
        /// What the names stand for.
        special_tokens: BTreeMap<String, TemplateToken>,
    },
    /// `[CLS] A [SEP] B [SEP]`, types 0 and 1.
    BertProcessing {
        /// The token behind each text, and its id.
        sep: (String, u32),
        /// The token at the beginning, and its id.
        cls: (String, u32),
    },
    /// `<s> A </s></s> B </s>`, all of type 0, offsets without spaces.
    RobertaProcessing {
        /// The token behind each text, and its id.
        sep: (String, u32),
        /// The token at the beginning, and its id.
        cls: (String, u32),
        /// Whether offsets leave out spaces.
        #[serde(default = "yes")]
        trim_offsets: bool,
        /// Whether a space was put in front of the text, which offsets do not know.
        #[serde(default = "yes")]
        add_prefix_space: bool,
    },
    /// No tokens; offsets without spaces, if asked for.
    ByteLevel {
        /// Whether a space was put in front of the text, which offsets do not know.
        #[serde(default = "yes")]
        add_prefix_space: bool,
        /// Whether offsets leave out spaces.
        #[serde(default = "yes")]
        trim_offsets: bool,
        /// A matter of the splitter of the same name.
        #[serde(default = "yes")]
        use_regex: bool,
    },
}

impl Template {
    /// Whether it says where the texts and their tokens stand.
    fn adds(&self) -> bool {
        match self {
            Template::Sequence { processors } => processors.iter().any(Template::adds),
            other => !matches!(other, Template::ByteLevel { .. }),
        }
    }
}

/// A part as it is put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Token { id: u32, type_id: u32 },
    Text { second: bool, type_id: u32 },
}

/// The most tokens that a template adds to a text.
const MAX_TOKENS: usize = 1024;

/// Templates read for use.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) single: Vec<Part>,
    pub(super) pair: Vec<Part>,
    /// Whether offsets leave out spaces, and if so whether a space was put in front.
    pub(super) trim: Option<bool>,
}

impl Default for Layout {
    fn default() -> Self {
        let text = |second| Part::Text { second, type_id: second.into() };
        Self { single: vec![text(false)], pair: vec![text(false), text(true)], trim: None }
    }
}

impl Layout {
    pub(super) fn new(template: Option<&Template>) -> Result<Self, String> {
        let mut layout = Self::default();
        if let Some(template) = template {
            layout.read(template)?;
        }
        match layout.added(false).max(layout.added(true)) {
            tokens if tokens > MAX_TOKENS => {
                Err(format!("expected a template of at most {MAX_TOKENS} tokens, got {tokens}"))
            }
            _ => Ok(layout),
        }
    }

    fn read(&mut self, template: &Template) -> Result<(), String> {
        let text = |second, type_id| Part::Text { second, type_id };
        let token = |(_, id): &(String, u32), type_id| Part::Token { id: *id, type_id };
        match template {
            Template::Sequence { processors } => {
                if processors.iter().filter(|template| template.adds()).count() > 1 {
                    return Err("expected one template that adds tokens in a sequence, got several".into());
                }
                processors.iter().try_for_each(|template| self.read(template))?;
            }
            Template::TemplateProcessing { single, pair, special_tokens } => {
                let parts = |parts: &[TemplatePart]| {
                    let mut all = Vec::new();
                    for part in parts {
                        if all.len() > MAX_TOKENS + 2 {
                            break;
                        }
                        match part {
                            TemplatePart::Sequence { id, type_id } => all.push(text(*id == Sequence::B, *type_id)),
                            TemplatePart::SpecialToken { id, type_id } => {
                                let found = special_tokens.get(id).ok_or_else(|| {
                                    format!(
                                        "expected the template's token {id:?} among its special_tokens, got {:?}",
                                        special_tokens.keys()
                                    )
                                })?;
                                all.extend(found.ids.iter().map(|&id| Part::Token { id, type_id: *type_id }));
                            }
                        }
                    }
                    Ok::<_, String>(all)
                };
                let count = |parts: &[Part], b| {
                    parts.iter().filter(|part| matches!(part, Part::Text { second, .. } if *second == b)).count()
                };
                (self.single, self.pair) = (parts(single)?, parts(pair)?);
                if count(&self.single, false) != 1
                    || count(&self.single, true) != 0
                    || count(&self.pair, false) != 1
                    || count(&self.pair, true) != 1
                {
                    return Err("expected a template with A once for one text, and A and B once each for two".into());
                }
            }
            Template::BertProcessing { sep, cls } => {
                self.single = vec![token(cls, 0), text(false, 0), token(sep, 0)];
                self.pair = vec![token(cls, 0), text(false, 0), token(sep, 0), text(true, 1), token(sep, 1)];
            }
            Template::RobertaProcessing { sep, cls, trim_offsets, add_prefix_space } => {
                self.single = vec![token(cls, 0), text(false, 0), token(sep, 0)];
                self.pair =
                    vec![token(cls, 0), text(false, 0), token(sep, 0), token(sep, 0), text(true, 0), token(sep, 0)];
                self.trim = trim_offsets.then_some(*add_prefix_space).or(self.trim);
            }
            Template::ByteLevel { add_prefix_space, trim_offsets, .. } => {
                self.trim = trim_offsets.then_some(*add_prefix_space).or(self.trim);
            }
        }
        Ok(())
    }

    pub(super) fn parts(&self, pair: bool) -> &[Part] {
        if pair { &self.pair } else { &self.single }
    }

    /// How many tokens the template adds.
    pub(super) fn added(&self, pair: bool) -> usize {
        self.parts(pair).iter().filter(|part| matches!(part, Part::Token { .. })).count()
    }

    /// The ids that the template puts in.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        self.single.iter().chain(&self.pair).filter_map(|part| match part {
            Part::Token { id, .. } => Some(*id),
            Part::Text { .. } => None,
        })
    }

    /// The ids of one text with those that the template puts around it.
    pub(super) fn ids_around(&self, text: &[u32]) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() + self.single.len());
        for part in &self.single {
            match part {
                Part::Token { id, .. } => ids.push(*id),
                Part::Text { .. } => ids.extend_from_slice(text),
            }
        }
        ids
    }

    /// Puts texts and tokens together.
    pub(super) fn fill(&self, texts: [(&[u32], &[Span]); 2], pair: bool, special: bool, out: &mut Encoding) {
        for part in self.parts(pair) {
            match *part {
                Part::Token { id, type_id } if special => out.push(id, type_id, (0, 0), true, true),
                Part::Token { .. } => {}
                Part::Text { second, type_id } => {
                    let (ids, spans) = texts[usize::from(second)];
                    for (&id, &span) in ids.iter().zip(spans) {
                        out.push(id, type_id, span, false, true);
                    }
                }
            }
        }
    }
}

/// A span without the spaces that its token begins and ends with, as far as they stand in the text.
pub(super) fn trim(token: &str, span: Span, text: &str, first: bool, prefix_space: bool) -> Span {
    let is_space = |c: &char| *c == 'Ġ' || c.is_whitespace();
    let mut leading = token.chars().take_while(is_space).count();
    if leading == 1 && (first || span.0 == 0) && prefix_space {
        // The one that was put in front; where there are more, none was.
        leading = 0;
    }
    let trailing = token.chars().rev().take_while(is_space).count();
    let bytes = |spaces: &mut dyn Iterator<Item = char>, most: usize| {
        spaces.take(most).take_while(|c| c.is_whitespace()).map(char::len_utf8).sum::<usize>() as u32
    };
    let part = &text[span.0 as usize..span.1 as usize];
    let start = span.0 + bytes(&mut part.chars(), leading);
    (start, (span.1 - bytes(&mut part.chars().rev(), trailing)).max(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Layout, String> {
        Layout::new(Some(&serde_json::from_str(json).unwrap()))
    }

    #[test]
    fn parts_stand_where_the_template_says() {
        let layout = read(r#"{"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]}"#).unwrap();
        let mut out = Encoding::default();
        layout.fill([(&[7, 8], &[(0, 1), (1, 2)]), (&[9], &[(0, 4)])], true, true, &mut out);
        assert_eq!((out.ids, out.type_ids), (vec![2, 7, 8, 3, 9, 3], vec![0, 0, 0, 0, 1, 1]));
        assert_eq!(out.offsets, [(0, 0), (0, 1), (1, 2), (0, 0), (0, 4), (0, 0)]);
        assert_eq!((out.special_tokens_mask, layout.added(true), layout.added(false)), (vec![1, 0, 0, 1, 0, 1], 3, 2));
    }

    #[test]
    fn templates_that_mean_nothing_here_are_refused() {
        let parts = |single: &str, ids: &str| {
            format!(
                r#"{{"type":"TemplateProcessing","single":{single},"pair":[{{"Sequence":{{"id":"A","type_id":0}}}},{{"Sequence":{{"id":"B","type_id":1}}}}],
                "special_tokens":{{"X":{{"id":"X","ids":{ids},"tokens":[]}}}}}}"#
            )
        };
        let a = r#"{"Sequence":{"id":"A","type_id":0}}"#;
        let x = r#"{"SpecialToken":{"id":"X","type_id":0}}"#;
        assert!(read(&parts(&format!("[{x},{a}]"), "[1,2]")).is_ok());
        assert!(read(&parts("[]", "[1]")).unwrap_err().contains("A once"));
        assert!(read(&parts(&format!("[{a},{a}]"), "[1]")).unwrap_err().contains("A once"));
        assert!(
            read(&parts(&format!("[{a},{}]", x.replace('X', "Y")), "[1]"))
                .unwrap_err()
                .contains("\"Y\" among its special_tokens")
        );
        let many = format!("{:?}", [1; 999]);
        assert!(
            read(&parts(&format!("[{a}{}]", format!(",{x}").repeat(100)), &many))
                .unwrap_err()
                .contains("at most 1024 tokens")
        );
        let bert = r#"{"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]}"#;
        assert!(
            read(&format!(r#"{{"type":"Sequence","processors":[{bert},{bert}]}}"#))
                .unwrap_err()
                .contains("got several")
        );
    }

    #[test]
    fn spans_lose_whole_characters_only() {
        let text = "a \u{3000}\u{a0}b é";
        assert_eq!(trim("Ġ", (1, 2), text, false, false), (2, 2));
        assert_eq!(trim(" \u{3000}\u{a0}b ", (1, 9), text, false, false), (7, 8));
        assert_eq!(trim(" \u{3000}\u{a0}b ", (1, 9), text, true, true), (7, 8));
        assert_eq!((trim("Ġ", (1, 2), text, true, true), trim("Ġ", (1, 2), text, true, false)), ((1, 1), (2, 2)));
        // The space was put in front, and does not stand in the text.
        assert_eq!(trim("Ġé", (9, 11), text, false, false), (9, 11));
    }
}
