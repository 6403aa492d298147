//! Beam search.
//!
//! Of every prompt the `num_beams` best beginnings are followed. A step scores each beginning with each token by the sum of the
//! log-probabilities behind the processors, which are not made to sum to 1 again, and takes the best
//! max(2, 1 + end tokens)·`num_beams`. Those among the first `num_beams` of them that end become results, with
//! sum / (new tokens)^`length_penalty` as their score; the best `num_beams` that do not end go on. See
//! [`BeamStopping`](super::BeamStopping) for when it is over. The rules are those of Transformers 5's `_beam_search`; what it keeps with
//! a score of −10⁹ and less, to have enough, is left out here, so that there may be fewer beams and results. Prompts do not know of
//! each other.

use super::decoder::Decoder;
use super::history::History;
use super::output::Sequence;
use super::pick::sequence_key;
use super::search::Search;
use super::settings::BeamStopping;
use super::stop::{Finish, finish};
use crate::error::Result;
use crate::tensor::Float;

/// A beginning.
#[derive(Default)]
struct Beam {
    tokens: Vec<u32>,
    log_probabilities: Vec<f64>,
    sum: f64,
}

/// A beginning and a token.
#[derive(Clone, Copy)]
struct Candidate {
    /// What candidates are chosen by: the sum, or what it drew.
    rank: f64,
    sum: f64,
    beam: usize,
    token: u32,
    log_probability: f64,
}

struct Ended {
    score: f64,
    beam: Beam,
    finish: Finish,
}

/// One prompt's search.
struct Row {
    prompt: usize,
    beams: Vec<Beam>,
    /// The decoder's row of the first beam; the others follow.
    first: usize,
    /// At most as many as beams, the best first.
    ended: Vec<Ended>,
}

/// The sequences of each prompt, the best first.
pub(super) fn beam_search<T: Float>(
    search: &mut Search<'_, T>,
    decoder: &mut dyn Decoder<T>,
    prompts: &[&[u32]],
) -> Result<Vec<Vec<Sequence>>> {
    let num_beams = search.pipeline.settings.num_beams;
    search.begin(decoder, prompts, num_beams)?;
    let begin = |(first, prompt): (usize, &&[u32])| {
        let beam = Beam { tokens: prompt.to_vec(), ..Beam::default() };
        Row { prompt: prompt.len(), beams: vec![beam], first, ended: Vec::new() }
    };
    let mut rows: Vec<Row> = prompts.iter().enumerate().map(begin).collect();
    let (mut candidates, mut next, mut spare) = (Vec::new(), Vec::new(), Vec::new());
    let (mut parents, mut tokens, mut before) = (Vec::new(), Vec::new(), prompts.len());
    loop {
        parents.clear();
        tokens.clear();
        for (number, row) in rows.iter_mut().enumerate().filter(|(_, row)| !row.beams.is_empty()) {
            candidates.clear();
            row.candidates(number, search, &mut candidates)?;
            row.go_on(number, search, &candidates, &mut next, &mut spare)?;
            let first = tokens.len();
            for (parent, beam) in &next {
                parents.push(row.first + parent);
                tokens.extend(beam.tokens.last());
            }
            row.first = first;
            spare.append(&mut row.beams);
            row.beams.extend(next.drain(..).map(|(_, beam)| beam));
        }
        if tokens.is_empty() {
            break;
        }
        search.step(decoder, before, &parents, &tokens)?;
        before = tokens.len();
    }
    let sequences = search.pipeline.settings.num_return_sequences;
    Ok(rows.into_iter().map(|row| row.into_sequences(sequences)).collect())
}

impl Row {
    /// The best beginnings and tokens, the best first: of equals the earlier beam and the lower token.
    fn candidates<T: Float>(
        &mut self,
        number: usize,
        search: &mut Search<'_, T>,
        best: &mut Vec<Candidate>,
    ) -> Result<()> {
        let settings = &search.pipeline.settings;
        let (max_new_tokens, sample) = (settings.max_new_tokens, settings.do_sample);
        let most = settings.num_beams.saturating_mul((settings.end_tokens.len() + 1).max(2));
        let key = sequence_key(settings.seed, search.row_number(number), 0);
        for (b, beam) in self.beams.iter().enumerate() {
            let at = History { row: number, sequence: b, tokens: &beam.tokens, prompt: self.prompt, max_new_tokens };
            let norm = search.row(self.first + b, &at)?;
            search.scores.iter_mut().for_each(|v| *v = T::of(v.as_f64() - norm));
            search.pipeline.process(&at, &mut search.scores)?;
            if search.scores.iter().any(|v| v.is_nan() || *v == T::infinity()) {
                return Err(search.no_token(&at));
            }
            let (key, vocabulary) = (key.with(beam.tokens.len() as u64), search.scores.len());
            for (token, score) in search.scores.iter().enumerate().filter(|(_, v)| **v > T::neg_infinity()) {
                let sum = beam.sum + score.as_f64();
                // The largest of sums with Gumbel noise are a draw without putting back (Kool, van Hoof, Welling, 2019).
                let rank = if sample { sum + gumbel(key.bits((b * vocabulary + token) as u64)) } else { sum };
                if best.len() < most || best.last().is_some_and(|last| rank > last.rank) {
                    best.truncate(most - 1);
                    let log_probability = search.log_probability(self.first + b, token as u32, norm);
                    let candidate = Candidate { rank, sum, beam: b, token: token as u32, log_probability };
                    best.insert(best.partition_point(|other| other.rank >= rank), candidate);
                }
            }
        }
        if best.is_empty() && self.ended.is_empty() {
            let tokens = &self.beams[0].tokens;
            let at = History { row: number, sequence: 0, tokens, prompt: self.prompt, max_new_tokens };
            return Err(search.no_token(&at));
        }
        if sample {
            best.sort_by(|a, b| b.sum.total_cmp(&a.sum));
        }
        Ok(())
    }

    /// Ends what ends, and leaves in `next` what goes on, with the number of the beam it comes from; nothing if the row is done.
    fn go_on<T: Float>(
        &mut self,
        number: usize,
        search: &mut Search<'_, T>,
        candidates: &[Candidate],
        next: &mut Vec<(usize, Beam)>,
        spare: &mut Vec<Beam>,
    ) -> Result<()> {
        let settings = &search.pipeline.settings;
        let (num_beams, max_new_tokens) = (settings.num_beams, settings.max_new_tokens);
        let new_tokens = self.beams[0].tokens.len() + 1 - self.prompt;
        let scored = |sum: f64, tokens: usize| sum / (tokens as f64).powf(settings.length_penalty);
        for (rank, candidate) in candidates.iter().enumerate() {
            if rank >= num_beams && next.len() == num_beams {
                break;
            }
            let parent = &self.beams[candidate.beam];
            let mut beam: Beam = spare.pop().unwrap_or_default();
            beam.tokens.clone_from(&parent.tokens);
            beam.log_probabilities.clone_from(&parent.log_probabilities);
            beam.tokens.push(candidate.token);
            beam.log_probabilities.push(candidate.log_probability);
            beam.sum = candidate.sum;
            let (sequence, tokens) = (candidate.beam, &beam.tokens);
            let at = History { row: number, sequence, tokens, prompt: self.prompt, max_new_tokens };
            match finish(&at, &settings.end_tokens, &mut search.stops)? {
                Some(finish) if rank < num_beams => {
                    let score = scored(beam.sum, new_tokens);
                    let place = self.ended.partition_point(|other| other.score >= score);
                    self.ended.insert(place, Ended { score, beam, finish });
                    if self.ended.len() > num_beams {
                        spare.extend(self.ended.pop().map(|last| last.beam));
                    }
                }
                None if next.len() < num_beams => next.push((candidate.beam, beam)),
                _ => spare.push(beam),
            }
        }
        let worst = self.ended.last().filter(|_| self.ended.len() == num_beams).map(|ended| ended.score);
        let (Some(worst), Some((_, best))) = (worst, next.first()) else { return Ok(()) };
        let stopping = settings.early_stopping;
        let hopes = match stopping {
            BeamStopping::Full => false,
            BeamStopping::Never if settings.length_penalty > 0.0 => scored(best.sum, max_new_tokens) > worst,
            BeamStopping::Likely | BeamStopping::Never => scored(best.sum, new_tokens) > worst,
        };
        if !hopes {
            spare.extend(next.drain(..).map(|(_, beam)| beam));
        }
        Ok(())
    }

    fn into_sequences(self, most: usize) -> Vec<Sequence> {
        let sequence = |ended: Ended| Sequence {
            tokens: ended.beam.tokens[self.prompt..].to_vec(),
            log_probabilities: ended.beam.log_probabilities,
            score: ended.score,
            finish: ended.finish,
        };
        self.ended.into_iter().take(most).map(sequence).collect()
    }
}

/// −ln(−ln u) for a u in (0, 1) of these bits.
fn gumbel(bits: u64) -> f64 {
    let u = ((bits >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
    -(-u.ln()).ln()
}

#[cfg(test)]
mod tests {
    use super::gumbel;

    #[test]
    fn noise_is_finite() {
        for bits in [0, 1 << 63, u64::MAX] {
            assert!(gumbel(bits).is_finite(), "{bits}");
        }
        // The mean is Euler's constant.
        let key = crate::random::Key::new(1, crate::random::Purpose::Generation);
        let mean = (0..100_000).map(|i| gumbel(key.bits(i))).sum::<f64>() / 1e5;
        assert!((mean - 0.5772).abs() < 0.02, "{mean}");
    }
}
