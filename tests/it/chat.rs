//! Chats: templates as transformers renders them, answers of a tiny model, and the same over HTTP.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use gradus::Error;
use gradus::generation::{GenerationSettings, Generator};
use gradus::models::hf::{CausalLm, ChatOptions, ChatTemplate, Conversation, Message};
use serde_json::{Value, json};

use crate::files::Folder;
use crate::hf::{copied, edit, says, vocabulary};

/// Texts that transformers has rendered, by `tests/interop/chat_templates.py`.
#[test]
fn templates_are_rendered_as_by_transformers() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/chat/templates.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let now = UNIX_EPOCH + Duration::from_secs(all["now"].as_u64().unwrap());
    let mut cases = 0;
    for entry in all["templates"].as_array().unwrap() {
        let family = text(&entry["family"]);
        let mut template = ChatTemplate::parse(&text(&entry["template"])).unwrap();
        for (name, token) in entry["tokens"].as_object().unwrap() {
            template = template.special_token(name, &text(token));
        }
        for case in entry["cases"].as_array().unwrap() {
            let chat = all["chats"][case["messages"].as_u64().unwrap() as usize].as_array().unwrap();
            let messages: Vec<Message> =
                chat.iter().map(|m| Message::new(text(&m["role"]), text(&m["content"]))).collect();
            let mut options =
                ChatOptions::default().now(now).add_generation_prompt(case["add_generation_prompt"].as_bool().unwrap());
            for (name, value) in case["variables"].as_object().unwrap() {
                options = options.flag(name, value.as_bool().unwrap());
            }
            let rendered = template.render(&messages, &options);
            match (case.get("text"), case.get("error")) {
                (Some(expected), _) => assert_eq!(rendered.unwrap(), text(expected), "{family}: {case}"),
                (_, Some(raised)) => match rendered.unwrap_err() {
                    Error::Data { problem, line: Some(_), hint, .. } => {
                        assert_eq!(problem, text(raised), "{family}: {case}");
                        assert!(hint.contains("refuses these messages"));
                    }
                    other => panic!("{family}: {other}"),
                },
                _ => panic!("{case}"),
            }
            cases += 1;
        }
    }
    assert!(cases > 300);
}

#[test]
fn templates_lie_in_folders() {
    let folder = Folder::new("chat_templates");
    let write = |name: &str, text: &str| std::fs::write(folder.path(name), text).unwrap();
    let render = |template: ChatTemplate| template.render(&[Message::user("x")], &ChatOptions::default()).unwrap();
    let open = || ChatTemplate::from_folder(&folder.0);
    says(&open().unwrap_err().to_string(), &["the folder has no chat template"]);
    write("chat_template.json", r#"{"chat_template": "json {{ bos_token }}"}"#);
    write(
        "special_tokens_map.json",
        r#"{"bos_token": {"content": "<b>"}, "eos_token": "<e>", "additional_special_tokens": ["<a>"]}"#,
    );
    assert_eq!(render(open().unwrap()), "json <b>");
    let config = json!({"chat_template": "config {{ bos_token }}{{ eos_token }}{{ unk_token }}", "bos_token": {"content": "<s>", "lstrip": false},
        "eos_token": null, "add_bos_token": true});
    write("tokenizer_config.json", &config.to_string());
    assert_eq!(render(open().unwrap()), "config <s>");
    assert_eq!((open().unwrap().token("bos_token"), open().unwrap().token("eos_token")), (Some("<s>"), None));
    edit(folder.path("tokenizer_config.json"), |c| {
        c["chat_template"] =
            json!([{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "default"}]);
    });
    assert_eq!(render(open().unwrap()), "default");
    assert_eq!(render(ChatTemplate::named(&folder.0, "tool_use").unwrap()), "tools");
    for name in ["rag", "../x"] {
        let error = ChatTemplate::named(&folder.0, name).unwrap_err().to_string();
        says(&error, &[name, "but tool_use, default"]);
    }
    write("chat_template.jinja", "file {{ messages[0].content }}\n");
    assert_eq!(render(open().unwrap()), "file x");
    write("chat_template.jinja", "\n{% include 'other' %}");
    says(&open().unwrap_err().to_string(), &["chat_template.jinja, line 2", "\"include\" is not built"]);
    write("chat_template.jinja", "\n\n{{ messages | groupby('role') }}");
    let error = open().unwrap().render(&[Message::user("")], &ChatOptions::default()).unwrap_err().to_string();
    says(&error, &["chat_template.jinja, line 3", "\"groupby\" is not built"]);
    assert!(matches!(open().unwrap().render(&[], &ChatOptions::default()), Err(Error::Empty { .. })));
    let dated = ChatTemplate::parse("{{ strftime_now('%Y') }}").unwrap();
    let at = |seconds| ChatOptions::default().now(UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(dated.render(&[Message::user("")], &at(0)).unwrap(), "1970");
    assert!(dated.render(&[Message::user("")], &at(u64::MAX / 2)).is_ok());
}

/// A tiny Llama with words for tokens, whose chats are `[CLS] … [SEP] … [SEP] w5`.
fn chatting(name: &str) -> (CausalLm, Folder) {
    let folder = copied("llama3_rope", name);
    vocabulary(&folder, 59);
    let template = "{{ bos_token }}{% for m in messages %}{% if m.role not in ['system', 'user', 'assistant'] %}{{ raise_exception('Who is ' + m.role + '?') }}\
                    {% endif %}{{ ' ' ~ m.content ~ ' ' ~ eos_token }}{% endfor %}{% if add_generation_prompt %} w5{% endif %}";
    let config = json!({"chat_template": template, "bos_token": "[CLS]", "eos_token": "[SEP]"});
    std::fs::write(folder.path("tokenizer_config.json"), config.to_string()).unwrap();
    (CausalLm::from_pretrained(&folder.0).unwrap(), folder)
}

/// The template has written what begins and ends a text; the tokenizer would write it again.
#[test]
fn chats_begin_once() {
    let (lm, _folder) = chatting("chat_begins");
    let prompt = lm.chat_prompt(&[Message::user("w9 w10")]).unwrap();
    assert_eq!(prompt, "[CLS] w9 w10 [SEP] w5");
    assert_eq!(lm.chat_tokens(&prompt).unwrap(), [2, 9, 10, 3, 5]);
    assert_eq!(lm.tokenizer().unwrap().encode_ids(&prompt).unwrap(), [2, 2, 9, 10, 3, 5, 3]);
    // Tokens by their ids in the configuration.
    let own = lm.chat_template_of("{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ messages[0].content }}").unwrap();
    assert_eq!(own.render(&[Message::user("w9")], &ChatOptions::default()).unwrap(), "[UNK][CLS]w9");
    // The end of a text of the configuration, and that of the tokenizer.
    assert_eq!(lm.chat_settings().unwrap(), GenerationSettings::default().end_tokens([2, 3]));
}

#[test]
fn answers_are_those_of_the_prompt() {
    let (lm, _folder) = chatting("chat_answers");
    let settings = lm.chat_settings().unwrap().max_new_tokens(12);
    let messages = [Message::system("w20"), Message::user("w9 w10")];
    let answer = lm.chat(&messages, settings.clone()).unwrap();
    let mut decoder = lm.decoder().unwrap();
    let mut generator = Generator::new(settings.clone()).tokenizer(lm.tokenizer().unwrap());
    let tokens = generator.generate(&mut decoder, &[[2, 20, 3, 9, 10, 3, 5]]).unwrap()[0][0].tokens.clone();
    // Behind a prompt, so with the space between words.
    assert_eq!(answer, format!(" {}", lm.tokenizer().unwrap().decode(&tokens, true).unwrap()));
    assert!(answer.len() > 1);
    says(
        &lm.chat(&[Message::new("ghost", "")], settings.clone()).unwrap_err().to_string(),
        &["line 1", "Who is ghost?"],
    );

    // Turn by turn, with what was computed kept: the same as all at once.
    let mut chat = Conversation::new(&lm).unwrap().system("w21").system("w20").settings(settings.clone());
    let mut pieces = String::new();
    let gather = |piece: &str| {
        pieces.push_str(piece);
        Ok(())
    };
    let first = chat.say("w9 w10", gather).unwrap();
    assert_eq!((&first, &pieces), (&answer, &answer));
    let second = chat.say("w11", |_| Ok(())).unwrap();
    let so_far = [&messages[..], &[Message::assistant(&first), Message::user("w11")]].concat();
    assert_eq!(second, lm.chat(&so_far, settings.clone()).unwrap());
    assert_eq!(chat.messages().len(), 5);

    // What fails changes nothing.
    let error = chat.say("w12", |_| Err(Error::custom("enough"))).unwrap_err();
    assert_eq!((error.to_string().as_str(), chat.messages().len()), ("enough", 5));
    let long = ["w9"; 600].join(" ");
    says(
        &chat.say(&long, |_| Ok(())).unwrap_err().to_string(),
        &["below the context, 512 tokens", "Conversation::clear"],
    );
    chat.clear();
    assert_eq!(chat.messages(), &messages[..1]);
    assert_eq!(chat.say("w9 w10", |_| Ok(())).unwrap(), first);
    // What the context has room for.
    let mut short = Conversation::new(&lm).unwrap().settings(settings).context_length(9);
    let cut = short.say("w9 w10", |_| Ok(())).unwrap();
    assert!((1..=4).contains(&cut.split_whitespace().count()), "{cut:?}");
}

#[cfg(feature = "serve")]
mod served {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::thread;

    use gradus::models::hf::{OpenOptions, Pooling, SentenceEncoder};
    use gradus::serve::Server;

    use super::*;

    fn encoder(name: &str) -> (SentenceEncoder, Folder) {
        let folder = copied("bert_tiny", name);
        vocabulary(&folder, 90);
        let encoder = SentenceEncoder::from_encoder(&folder.0, Pooling::Mean, true, &OpenOptions::default()).unwrap();
        (encoder, folder)
    }

    /// Serves both models while something asks.
    fn serving(name: &str, change: impl FnOnce(Server) -> Server, ask: impl FnOnce(SocketAddr)) {
        let (lm, _lm) = chatting(&format!("{name}_lm"));
        let (encoder, _encoder) = encoder(&format!("{name}_encoder"));
        let server = Server::bind("127.0.0.1:0").unwrap().language_model("lm", lm).encoder("vectors", encoder);
        let server = change(server);
        let handle = server.handle();
        thread::scope(|scope| {
            let served = scope.spawn(|| server.run());
            // A failed assertion is to end the server too.
            let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ask(server.address())));
            handle.end();
            served.join().unwrap().unwrap();
            asked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }

    /// Sends bytes as they are, and reads the status and the body.
    fn raw(address: SocketAddr, request: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
        let length = body.len();
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").into()
    }

    fn post(address: SocketAddr, path: &str, body: &Value) -> (u16, Value) {
        let (status, body) = raw(address, &request("POST", path, &body.to_string()));
        (status, serde_json::from_str(&body).unwrap())
    }

    /// The events of a streamed answer, without the last, and the connection's end.
    fn stream(address: SocketAddr, path: &str, body: &Value) -> Vec<Value> {
        let (status, chunked) = raw(address, &request("POST", path, &body.to_string()));
        assert_eq!(status, 200, "{chunked}");
        // Each chunk is an event.
        let mut events = Vec::new();
        let mut rest = chunked.as_str();
        loop {
            let (length, behind) = rest.split_once("\r\n").unwrap();
            let length = usize::from_str_radix(length, 16).unwrap();
            if length == 0 {
                break;
            }
            events.push(behind[..length].strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap().to_owned());
            rest = behind[length..].strip_prefix("\r\n").unwrap();
        }
        assert_eq!(events.pop().unwrap(), "[DONE]");
        events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
    }

    const CHAT: &str = "/v1/chat/completions";

    fn chat(more: Value) -> Value {
        let mut body = json!({"model": "lm", "messages": [{"role": "system", "content": "w20"}, {"role": "user", "content": "w9 w10"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    }

    #[test]
    fn chats_and_completions() {
        let (lm, _folder) = chatting("chat_served_alone");
        let settings = lm.chat_settings().unwrap().max_new_tokens(12);
        let messages = [Message::system("w20"), Message::user("w9 w10")];
        let expected = lm.chat(&messages, settings.clone()).unwrap();
        serving(
            "chat_served",
            |server| server,
            |address| {
                let (status, answer) = post(address, CHAT, &chat(json!({"max_tokens": 12})));
                assert_eq!((status, &answer["object"]), (200, &json!("chat.completion")));
                let choice = &answer["choices"][0];
                assert_eq!(choice["message"], json!({"role": "assistant", "content": expected, "refusal": null}));
                let written = answer["usage"]["completion_tokens"].as_u64().unwrap();
                assert_eq!(
                    answer["usage"],
                    json!({"prompt_tokens": 7, "completion_tokens": written, "total_tokens": 7 + written})
                );
                assert_eq!(choice["finish_reason"], if written == 12 { "length" } else { "stop" });

                // The same in parts, each of an event.
                let body = chat(
                    json!({"max_completion_tokens": 12, "stream": true, "stream_options": {"include_usage": true}}),
                );
                let events = stream(address, CHAT, &body);
                let (first, usage) = (&events[0], events.last().unwrap());
                assert_eq!(first["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
                assert_eq!((&usage["usage"], &usage["choices"]), (&answer["usage"], &json!([])));
                assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], choice["finish_reason"]);
                let text: String =
                    events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
                assert_eq!(text, expected);
                assert!(events.len() > 6, "pieces come one by one");
                assert!(
                    events.iter().all(|event| event["id"] == first["id"] && event["object"] == "chat.completion.chunk")
                );

                // Seeds, and what they are for.
                let drawn = |more: Value| {
                    let mut body = chat(json!({"temperature": 1.5, "top_p": 0.9, "max_tokens": 12, "seed": 3}));
                    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                    post(address, CHAT, &body).1["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
                };
                assert_eq!(drawn(json!({})), drawn(json!({})));
                let with_seed = settings.clone().do_sample(true).temperature(1.5).top_p(0.9).seed(3);
                assert_eq!(drawn(json!({})), lm.chat(&messages, with_seed.clone()).unwrap());
                let penalised = with_seed.presence_penalty(1.0).frequency_penalty(-0.5).logit_bias([(30, 5.0)]);
                let more = json!({"presence_penalty": 1, "frequency_penalty": -0.5, "logit_bias": {"30": 5}});
                assert_eq!(drawn(more), lm.chat(&messages, penalised).unwrap());
                let others: Vec<String> = (0..4).map(|_| drawn(json!({"seed": null}))).collect();
                assert!(others.iter().any(|other| *other != others[0]), "without a seed each is drawn anew");

                // Strings that end it.
                let word = expected.split(' ').nth(2).unwrap();
                let (_, stopped) = post(address, CHAT, &chat(json!({"max_tokens": 12, "stop": [word, "nothing"]})));
                let text = stopped["choices"][0]["message"]["content"].as_str().unwrap();
                assert_eq!(
                    (text, &stopped["choices"][0]["finish_reason"]),
                    (expected.split(word).next().unwrap(), &json!("stop"))
                );

                // Parts of a content, and the newer name of the system.
                let parts = json!([{"role": "developer", "content": "w20"}, {"role": "user", "content": [{"type": "text", "text": "w9 "}, {"type": "text", "text": "w10"}]}]);
                let (_, answer) =
                    post(address, CHAT, &chat(json!({"messages": parts, "max_tokens": 12, "n": 1, "user": "me"})));
                assert_eq!(answer["choices"][0]["message"]["content"], expected);

                // A prompt as text, and as tokens.
                let (status, text) = post(address, "/v1/completions", &json!({"prompt": "w9", "max_tokens": 5}));
                assert_eq!((status, &text["object"]), (200, &json!("text_completion")));
                let (_, tokens) = post(address, "/v1/completions", &json!({"prompt": [2, 9, 3], "max_tokens": 5}));
                assert_eq!(text["choices"], tokens["choices"]);
                let events =
                    stream(address, "/v1/completions", &json!({"prompt": ["w9"], "max_tokens": 5, "stream": true}));
                let pieces: String = events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
                assert_eq!(text["choices"][0]["text"], pieces);

                let (status, models) = raw(address, &request("GET", "/v1/models", ""));
                says(&models, &["\"lm\"", "\"vectors\""]);
                assert_eq!(status, 200);
                assert_eq!(raw(address, &request("GET", "/v1/models/lm", "")).0, 200);
            },
        );
    }

    #[test]
    fn embeddings() {
        let (alone, _folder) = encoder("chat_embeddings_alone");
        let texts = ["w9 w10 w11", "w20"];
        let vectors = alone.encode(&texts).unwrap();
        serving(
            "chat_embeddings",
            |server| server,
            |address| {
                let ask = |more: Value| {
                    let mut body = json!({"model": "vectors", "input": texts});
                    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                    post(address, "/v1/embeddings", &body)
                };
                let (status, answer) = ask(json!({}));
                // [CLS], [SEP] and the words.
                assert_eq!((status, &answer["usage"]), (200, &json!({"prompt_tokens": 8, "total_tokens": 8})));
                for (i, row) in answer["data"].as_array().unwrap().iter().enumerate() {
                    let row: Vec<f32> =
                        row["embedding"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
                    assert_eq!(row, vectors.row(i));
                }
                let (_, one) = ask(json!({"input": "w20", "encoding_format": "base64"}));
                let text = one["data"][0]["embedding"].as_str().unwrap();
                assert_eq!((text.len(), one["data"].as_array().unwrap().len()), (36 * 4 / 3 * 4, 1));
                let (_, short) = ask(json!({"dimensions": 7}));
                let row = short["data"][0]["embedding"].as_array().unwrap();
                let length: f64 = row.iter().map(|v| v.as_f64().unwrap().powi(2)).sum();
                assert!(row.len() == 7 && (length - 1.0).abs() < 1e-5);
                for (more, part) in [
                    (json!({"dimensions": 37}), "36 numbers"),
                    (json!({"input": []}), "1 to 2048"),
                    (json!({"input": [[1, 2]]}), "input is to be a string"),
                    (json!({"encoding_format": "hex"}), "float or base64"),
                    (json!({"model": "lm"}), "no model \"lm\""),
                    (json!({"colour": 1}), "does not have colour"),
                ] {
                    let (status, answer) = ask(more);
                    assert!(status == 400 || status == 404);
                    says(answer["error"]["message"].as_str().unwrap(), &[part]);
                }
            },
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        serving(
            "chat_wrong",
            |server| server.most_body(5000),
            |address| {
                let long = ["w9"; 600].join(" ");
                for (more, param, part) in [
                    (json!({"messages": []}), "messages", "one message or more"),
                    (json!({"messages": "hi"}), "messages", "one message or more"),
                    (json!({"messages": [{"role": "tool", "content": ""}]}), "messages[0].role", "\"tool\""),
                    (json!({"messages": [{"role": "user"}]}), "messages[0].content", "no content"),
                    (json!({"messages": [{"role": "user", "content": 3}]}), "messages[0].content", "a number"),
                    (
                        json!({"messages": [{"role": "user", "content": "", "name": "x"}]}),
                        "messages[0].name",
                        "does not have",
                    ),
                    (
                        json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}),
                        "messages[0].content",
                        "texts alone",
                    ),
                    (json!({"temperature": 3}), "temperature", "from 0 to 2"),
                    (json!({"temperature": "hot"}), "temperature", "a number"),
                    (json!({"top_p": 0}), "top_p", "above 0"),
                    (json!({"top_k": 0}), "top_k", "from 1 on"),
                    (json!({"max_tokens": 0}), "max_tokens", "from 1 on"),
                    (json!({"max_tokens": -1}), "max_tokens", "from 1 on"),
                    (json!({"max_tokens": 1, "max_completion_tokens": 2}), "max_tokens", "differ"),
                    (json!({"n": 2}), "n", "n is 2"),
                    (json!({"stop": [""]}), "stop", "none of them empty"),
                    (json!({"stop": 1}), "stop", "a string"),
                    (json!({"seed": 0.5}), "seed", "whole number"),
                    (json!({"presence_penalty": 2.5}), "presence_penalty", "from -2 to 2"),
                    (json!({"logit_bias": {"x": 1}}), "logit_bias", "by token ids"),
                    (json!({"logit_bias": {"1": 101}}), "logit_bias", "-100 to 100"),
                    (json!({"logprobs": true}), "logprobs", "does not have"),
                    (json!({"tools": [{"type": "function"}]}), "tools", "does not have"),
                    (json!({"response_format": {"type": "json_object"}}), "response_format", "does not have"),
                    (json!({"stream_options": {}}), "stream_options", "with stream alone"),
                    (json!({"stream": "yes"}), "stream", "true or false"),
                    (json!({"chat_template_kwargs": {"a": []}}), "chat_template_kwargs.a", "a list"),
                    (json!({"colour": "red"}), "colour", "does not have colour"),
                ] {
                    let (status, answer) = post(address, CHAT, &chat(more));
                    let error = &answer["error"];
                    assert_eq!(
                        (status, &error["param"], &error["type"]),
                        (400, &json!(param), &json!("invalid_request_error")),
                        "{answer}"
                    );
                    says(error["message"].as_str().unwrap(), &[part]);
                }
                // What the settings look at.
                let (status, answer) = post(address, CHAT, &chat(json!({"logit_bias": {"59": 1}})));
                says(answer["error"]["message"].as_str().unwrap(), &["below 59"]);
                assert_eq!(status, 400);
                for more in [json!({"max_tokens": 506}), json!({"messages": [{"role": "user", "content": long}]})] {
                    let (status, answer) = post(address, CHAT, &chat(more));
                    assert_eq!(
                        (status, &answer["error"]["code"]),
                        (400, &json!("context_length_exceeded")),
                        "{answer}"
                    );
                }
                let (status, answer) = post(address, CHAT, &chat(json!({"model": "gpt-5"})));
                assert_eq!((status, &answer["error"]["code"]), (404, &json!("model_not_found")));
                let (status, _) = post(address, "/v1/completions", &json!({"prompt": ["a", "b"]}));
                assert_eq!(status, 400);
                let (status, answer) = post(address, "/v1/completions", &json!({"prompt": [99]}));
                says(answer["error"]["message"].as_str().unwrap(), &["99"]);
                assert_eq!(status, 400);
                // Also where it was to come in parts.
                let (status, _) = post(address, "/v1/completions", &json!({"prompt": [99], "stream": true}));
                assert_eq!(status, 400);

                for (status, sent) in [
                    (400, request("POST", CHAT, "{")),
                    (400, request("POST", CHAT, "[1]")),
                    (404, request("GET", "/v1/nothing", "")),
                    (404, request("GET", "/v1/models/nothing", "")),
                    (405, request("GET", CHAT, "")),
                    (405, request("DELETE", "/v1/models", "")),
                    (413, request("POST", CHAT, &" ".repeat(5001))),
                    (411, b"POST /v1/embeddings HTTP/1.1\r\n\r\n".to_vec()),
                    (411, b"POST /v1/embeddings HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec()),
                    (400, b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}".to_vec()),
                    (400, b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_vec()),
                    (
                        415,
                        b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\n{}"
                            .to_vec(),
                    ),
                    (400, b"\x16\x03\x01hello\r\n\r\n".to_vec()),
                    (431, [&b"GET / HTTP/1.1\r\n"[..], "A: b\r\n".repeat(70).as_bytes(), b"\r\n"].concat()),
                    (431, [&b"GET / HTTP/1.1\r\nA: "[..], "b".repeat(20_000).as_bytes()].concat()),
                ] {
                    let (got, body) = raw(address, &sent);
                    assert_eq!(got, status, "{}: {body}", String::from_utf8_lossy(&sent[..sent.len().min(80)]));
                    assert!(serde_json::from_str::<Value>(&body).unwrap()["error"]["message"].is_string());
                }
                // Its end is no request, and its half none either.
                drop(TcpStream::connect(address).unwrap());
                let mut half = TcpStream::connect(address).unwrap();
                half.write_all(b"GET /v1/mod").unwrap();
                half.shutdown(std::net::Shutdown::Write).unwrap();
                let mut answer = String::new();
                half.read_to_string(&mut answer).unwrap();
                assert!(answer.starts_with("HTTP/1.1 400"));
            },
        );
    }

    /// Many at once wait or are refused; who goes away stops no other.
    #[test]
    fn requests_wait_and_go_away() {
        serving(
            "chat_waits",
            |server| server.most_waiting(1),
            |address| {
                let body = chat(json!({"max_tokens": 400, "stop": "never", "logit_bias": {"2": -100, "3": -100}}));
                let statuses: Vec<u16> = thread::scope(|scope| {
                    let asked: Vec<_> = (0..24).map(|_| scope.spawn(|| post(address, CHAT, &body))).collect();
                    asked.into_iter().map(|asked| asked.join().unwrap().0).collect()
                });
                assert!(
                    statuses.contains(&200) && statuses.iter().all(|status| [200, 503].contains(status)),
                    "{statuses:?}"
                );
                assert!(statuses.contains(&503), "{statuses:?}");
                for _ in 0..3 {
                    let mut stream = TcpStream::connect(address).unwrap();
                    let mut long = body.clone();
                    long["stream"] = true.into();
                    stream.write_all(&request("POST", CHAT, &long.to_string())).unwrap();
                    let mut line = String::new();
                    BufReader::new(&mut stream).read_line(&mut line).unwrap();
                    assert!(line.starts_with("HTTP/1.1 "));
                }
                let mut answered = 503;
                for _ in 0..200 {
                    answered = post(address, CHAT, &chat(json!({"max_tokens": 3}))).0;
                    if answered == 200 {
                        break;
                    }
                    thread::sleep(Duration::from_millis(20));
                }
                assert_eq!(answered, 200);
            },
        );
    }
}
