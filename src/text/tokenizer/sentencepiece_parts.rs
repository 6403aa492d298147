//! SentencePiece models in the parts of `tokenizer.json`.

use super::{
    Decoder, Metaspace, Normalizer, Pattern, Precompiled, PrependScheme, Splitter,
    model::{
        Model,
        bpe::{Bpe, BpeSettings},
        sentence_piece::SentencePiece,
        unigram::Unigram,
    },
    sentencepiece::file::Algorithm,
    vocab::Vocab,
};

/// The longest piece of which every cut is tried, in bytes.
const MAX_PIECE: usize = 1024;

/// What comes nearest to a SentencePiece model in the parts of `tokenizer.json`; not all of its texts become the same ids.
pub(super) fn as_parts(
    model: &SentencePiece,
) -> Result<(Option<Normalizer>, Option<Splitter>, Decoder, Model), String> {
    let rules = &model.normalization;
    let replace = |pattern, content: &str| Normalizer::Replace { pattern, content: content.to_owned() };
    let mut normalizers = Vec::new();
    if !rules.charsmap.is_empty() {
        let precompiled_charsmap = Precompiled::new(&rules.charsmap).map_err(|e| e.to_string())?;
        normalizers.push(Normalizer::Precompiled { precompiled_charsmap });
    }
    if rules.remove_extra_whitespaces {
        normalizers.push(Normalizer::Strip { strip_left: true, strip_right: true });
        normalizers.push(replace(Pattern::regex(" {2,}").expect("a pattern of the list"), " "));
    }
    let sequence = |mut normalizers: Vec<Normalizer>| match normalizers.len() {
        0 | 1 => normalizers.pop(),
        _ => Some(Normalizer::Sequence { normalizers }),
    };
    let pieces = model.engine.pieces();
    match model.algorithm {
        Algorithm::Unigram => {
            let scheme = if rules.add_dummy_prefix { PrependScheme::Always } else { PrependScheme::Never };
            let metaspace = Metaspace::new(scheme, true);
            let scores = pieces.iter().map(|piece| (piece.text.clone(), f64::from(piece.score))).collect();
            let unigram = Unigram::new(scores, Some(model.engine.unknown()), model.byte_fallback)?;
            Ok((sequence(normalizers), Some(Splitter::Metaspace(metaspace)), Decoder::Metaspace(metaspace), Model::Unigram(unigram)))
        }
        Algorithm::Bpe => {
            if let Some(piece) = pieces.iter().find(|piece| piece.text.len() > MAX_PIECE) {
                return Err(format!("expected pieces of at most {MAX_PIECE} bytes, got one of {}", piece.text.len()));
            }
            if rules.add_dummy_prefix {
                normalizers.push(Normalizer::Prepend { prepend: "▁".into() });
            }
            normalizers.push(replace(Pattern::literal(" "), "▁"));
            let mut decoders = vec![Decoder::Replace { pattern: Pattern::literal("▁"), content: " ".into() }, Decoder::ByteFallback, Decoder::Fuse];
            if rules.add_dummy_prefix {
                decoders.push(Decoder::Strip { content: ' ', start: 1, stop: 0 });
            }
            let settings = BpeSettings {
                unknown: Some(pieces[model.engine.unknown() as usize].text.clone()),
                fuse_unknown: true,
                byte_fallback: model.byte_fallback,
                ..BpeSettings::default()
            };
            let vocab = Vocab::new(pieces.iter().map(|piece| piece.text.as_str()).zip(0..))?;
            let bpe = Bpe::new(vocab, model.merges().into_iter(), settings, false)?;
            Ok((sequence(normalizers), None, Decoder::Sequence { decoders }, Model::Bpe(bpe)))
        }
        Algorithm::Word | Algorithm::Char => {
            Err("expected a unigram or BPE model of SentencePiece, as tokenizer.json has no other, got one of words or characters".into())
        }
    }
}
