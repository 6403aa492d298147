//! Texts as samples: what files of all kinds say, the same bits for any number of workers, and what is wrong with a file.

use std::path::{Path, PathBuf};

use gradus::prelude::*;

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gradus_text_data_{name}_{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn all(texts: &Texts) -> Vec<String> {
    texts.texts().collect::<Result<_, _>>().unwrap()
}

fn labels(texts: &Texts) -> Vec<f64> {
    texts.read_all().unwrap().iter().map(|sample| sample.label.unwrap()).collect()
}

/// The message without the folder.
fn message<T: std::fmt::Debug>(result: Result<T, Error>, path: &Path) -> String {
    let text = result.unwrap_err().to_string();
    text.strip_prefix(&path.display().to_string()).unwrap_or(&text).to_owned()
}

fn bytes(text: &str) -> Result<Vec<u32>, Error> {
    Ok(text.bytes().map(|byte| u32::from(byte) + 1).collect())
}

fn batches(data: &dyn Dataset, epoch: usize) -> Vec<Batch> {
    let load = |index| {
        let mut batch = Batch::default();
        data.load(epoch, index, &mut batch).map(|()| batch)
    };
    (0..data.batches().unwrap()).map(|index| load(index).unwrap()).collect()
}

/// Any position after any other gives what all in their order give.
fn check_places(texts: &Texts) {
    let whole = texts.read_all().unwrap();
    assert_eq!(whole.len(), texts.len());
    for i in (0..2 * whole.len()).map(|i| i * 7 % whole.len()).chain((0..whole.len()).rev()) {
        assert_eq!(texts.get(i).unwrap(), whole[i]);
    }
    assert!(texts.get(whole.len()).is_err() && texts.get(usize::MAX).is_err());
}

#[test]
fn lines_and_paragraphs() {
    let folder = Folder::new("lines");
    for (text, lines, paragraphs) in [
        ("one\ntwo\n", &["one", "two"] as &[&str], &["one\ntwo"] as &[&str]),
        ("one\r\ntwo", &["one", "two"], &["one\ntwo"]),
        ("\u{feff}one\n\n\n  \ntwo\nthree\n\n", &["one", "two", "three"], &["one", "two\nthree"]),
        ("\u{feff}\n\n one \r\n\t\r\n two\r\n", &[" one ", " two"], &[" one ", " two"]),
        ("x", &["x"], &["x"]),
        ("äöü 東京\n\u{1f600}\n", &["äöü 東京", "\u{1f600}"], &["äöü 東京\n\u{1f600}"]),
        ("<html>\n[{\"a\": 1}]\n", &["<html>", "[{\"a\": 1}]"], &["<html>\n[{\"a\": 1}]"]),
    ] {
        let path = folder.file("a.txt", text);
        for (how, expected) in
            [(TextLines::default(), lines), (TextLines::default().paragraphs(true).allow_empty(true), paragraphs)]
        {
            let texts = how.open(&path).unwrap();
            assert_eq!(all(&texts), expected, "{text:?}");
            assert!(!texts.is_labelled() && texts.class_names().is_empty());
            check_places(&texts);
        }
    }
    let path = folder.file("a.txt", "\u{feff}\none\n \n\ntwo\n\n");
    let texts = TextLines::default().allow_empty(true).open(&path).unwrap();
    assert_eq!(all(&texts), ["", "one", " ", "", "two", ""]);
    check_places(&texts);
    // White space by Unicode, such as the wide space of Chinese and Japanese texts.
    let path = folder.file("a.txt", "\u{3000}\n一\n\u{a0}\u{2003}\r\n\u{3000}二\u{3000}\n\u{85}\u{b}\n\u{200b}");
    assert_eq!(all(&TextLines::default().open(&path).unwrap()), ["一", "\u{3000}二\u{3000}", "\u{200b}"]);
    let documents = TextLines::default().paragraphs(true).open(&path).unwrap();
    assert_eq!(all(&documents), ["一", "\u{3000}二\u{3000}", "\u{200b}"]);
    check_places(&documents);
    // Longer than what is read ahead.
    let long: Vec<String> = (0..300).map(|i| format!("{i} {}", "wörter ".repeat(i * 7 % 300))).collect();
    for end in ["\n", "\r\n", "\n\n\n"] {
        let texts = TextLines::default().open(folder.file("long.txt", long.join(end))).unwrap();
        assert_eq!(all(&texts), long);
        check_places(&texts);
    }
}

#[test]
fn what_is_wrong_with_lines() {
    let folder = Folder::new("bad_lines");
    let d = TextLines::default;
    for (how, text, expected) in [
        (d(), b"" as &[u8], ": there is no text in the file; check the path, and whether it was written"),
        (d(), b" \n\n\t\n", ": there is no text in the file; check the path, and whether it was written"),
        (
            d(),
            b"good\n\nb\xffd\n",
            ", line 3: byte 7 (0xFF, counted from 0) is not UTF-8; save the file as UTF-8, or cut out what is damaged",
        ),
        (
            d().paragraphs(true),
            b"\n\ngood\nb\xc3",
            ", line 4: byte 8 (0xC3, counted from 0) is not UTF-8; save the file as UTF-8, or cut out what is damaged",
        ),
        (
            d(),
            b"one\rtwo\r",
            ", line 1: lines end in carriage returns alone (old Mac text); save the file with line feeds (Unix or Windows line ends)",
        ),
        (
            d().max_bytes(5),
            b"four\nseven\n",
            ", line 2: a text longer than 5 bytes begins here; set .max_bytes(...) to more if it is meant, or check the line ends, the \
             quotes and the file",
        ),
        (d(), b"\x1f\x8b\x08\0\0", ": the file is a gzipped file, not a text file; unpack it first (gunzip)"),
        (
            d(),
            b"\xff\xfea\0\n\0",
            ": the file is UTF-16 text, not a text file; save it as UTF-8 (Excel: \"CSV UTF-8\")",
        ),
    ] {
        let path = folder.file("a.txt", text);
        assert_eq!(message(how.open(&path), &path), expected);
    }
    assert!(message(d().open(&folder.0), &folder.0).contains("no regular file"));
    let path = folder.file("a.txt", "a");
    assert!(d().max_bytes(1).open(&path).is_ok());
    for bytes in [0, usize::MAX] {
        let table = TextTable::default().max_bytes(bytes);
        let opened = [
            d().max_bytes(bytes).open(&path),
            table.open(&path),
            table.delimiter(b',').open(&path),
            TextFolder::default().max_bytes(bytes).open(&folder.0),
        ];
        for result in opened {
            let error = message(result, &path);
            assert!(error.contains("max_bytes must be from 1 to 4294967295"), "{error}");
        }
        #[cfg(feature = "files")]
        assert!(message(JsonLines::default().max_bytes(bytes).open(&path), &path).contains("max_bytes must be from 1"));
    }
}

#[test]
fn files_that_change_are_errors() {
    let folder = Folder::new("changing");
    let path = folder.file("a.txt", "one\ntwo\n\nthree\n");
    let table = TextTable::default().no_label().delimiter(b',');
    for open in [&|| TextLines::default().open(&path).unwrap() as Texts, &|| table.open(&path).unwrap()]
        as [&dyn Fn() -> Texts; 2]
    {
        for (text, expected) in [
            ("one\ntwo\n", ": the file has changed"),
            ("one\nt\no\n\nthree\n", ", line 2: the file has changed"),
            ("one\n\nwo\n\nthree\n", ", line 2: the file has changed"),
            ("one\n\n\n\n\n\nthree\n", ", line 2: the file has changed"),
        ] {
            folder.file("a.txt", "one\ntwo\n\nthree\n");
            let texts = open();
            folder.file("a.txt", text);
            let error = message(texts.get(1), &path);
            assert!(error.starts_with(expected) && error.ends_with("; open it again"), "{text:?}: {error}");
        }
        folder.file("a.txt", "one\ntwo\n\nthree\n");
        let texts = open();
        folder.file("a.txt", b"one\nt\xffo\n\nthree\n");
        assert!(message(texts.get(1), &path).starts_with(", line 2: byte 5 (0xFF"));
        let error = texts.texts().find_map(Result::err).unwrap().to_string();
        assert!(error.contains(", line 2: byte 5 (0xFF"), "{error}");
        std::fs::remove_file(&path).unwrap();
        folder.file("a.txt", "one\ntwo\n\nthree\n");
    }
}

#[cfg(feature = "files")]
#[test]
fn lines_of_json() {
    let folder = Folder::new("json");
    let path = folder.file(
        "a.jsonl",
        "\u{feff}{\"label\": \"b\", \"text\": \"a \\\"quoted\\\"\\n\\u00e9 \\ud83d\\ude00\", \"other\": [1, {\"text\": null}]}\r\n\n\
         {\"text\":\"two\",\"label\":\"a\",\"more\":{\"stars\":[3,4.5],\"a/b\":true}}\n  {\"label\" : \"b\", \"te\\u0078t\" : \"three\"} ",
    );
    let texts = JsonLines::default().label("label").open(&path).unwrap();
    assert_eq!(all(&texts), ["a \"quoted\"\né \u{1f600}", "two", "three"]);
    assert_eq!((texts.class_names(), labels(&texts)), (&["a".to_owned(), "b".to_owned()][..], vec![1.0, 0.0, 1.0]));
    check_places(&texts);
    let seen = JsonLines::default().label("label").by_appearance(true).open(&path).unwrap();
    assert_eq!((seen.class_names(), labels(&seen)), (&["b".to_owned(), "a".to_owned()][..], vec![0.0, 1.0, 0.0]));
    let given = JsonLines::default().label("label").class_names(["a", "c", "b"]).open(&path).unwrap();
    assert_eq!(labels(&given), [2.0, 0.0, 2.0]);
    // Inside, with numbers; and twice the same.
    let path = folder.file("b.jsonl", "{\"q\":\"x\",\"m\":{\"stars\":[3,4.5],\"a/b\":true,\"\":\"y\"}}\n");
    let texts = JsonLines::default().texts(["q", "/m/", "/q"]).label("/m/stars/1").open(&path).unwrap();
    let sample = texts.get(0).unwrap();
    assert_eq!((sample.texts, sample.label), (vec!["x".to_owned(), "y".into(), "x".into()], Some(4.5)));
    assert_eq!(labels(&JsonLines::new("q").label("/m/a~1b").open(&path).unwrap()), [1.0]);
    let classes = JsonLines::new("q").label("/m/stars/0").classes().open(&path).unwrap();
    assert_eq!((classes.class_names(), labels(&classes)), (&["3".to_owned()][..], vec![0.0]));
}

#[cfg(feature = "files")]
#[test]
fn what_is_wrong_with_lines_of_json() {
    let folder = Folder::new("bad_json");
    let d = || JsonLines::default().label("y");
    let good = "{\"text\": \"a\", \"y\": 1}\n";
    for (how, line, expected) in [
        (d(), "{\"text\": \"b\"}", ", line 3, column y: there is no such field; the fields of this line are text"),
        (d(), "{}", ", line 3, column text: there is no such field; the object has no fields"),
        (
            d(),
            "{\"text\": 5, \"y\": 1}",
            ", line 3, column text: expected a string as text, got a number; name another field",
        ),
        (d(), "{\"text\": null, \"y\": 1}", ", line 3, column text: the value is missing (null); fill it in"),
        (d(), "{\"text\": \" \", \"y\": 1}", ", line 3, column text: the text is empty; fill it in"),
        (
            d(),
            "{\"text\": \"a\", \"y\": [1]}",
            ", line 3, column y: expected a string or a number as label, got an array",
        ),
        (d(), "{\"text\": \"a\", \"y\": \"\"}", ", line 3, column y: the label is missing"),
        (
            d(),
            "{\"text\": \"a\", \"y\": \"b\"}",
            ", line 3, column y: the label \"b\" is a name, that of line 1 (\"1\") a number",
        ),
        (d(), "{\"text\": \"a\", \"y\": 1e999}", ", line 3"),
        (
            d().class_names(["1", "2"]),
            "{\"text\": \"a\", \"y\": 3}",
            ", line 3, column y: unknown class \"3\"; the classes are 1, 2",
        ),
        (
            d(),
            "{\"text\": \"a\", \"text\": \"b\", \"y\": 1}",
            ", line 3: the line is no JSON object: the field \"text\" comes twice",
        ),
        (
            d(),
            "{\"text\": \"a\", \"y\": 1",
            ", line 3: the line is no JSON object: EOF while parsing an object, at byte 20 of it; correct the line, or remove it; of objects over several lines: jq -c .",
        ),
        (d(), "{\"text\": \"a\", \"y\": 1} 2", ", line 3: the line is no JSON object: trailing characters, at byte"),
        (d(), "{\"text\": \"\\ud800\", \"y\": 1}", ", line 3: the line is no JSON object: "),
        (
            d(),
            "[{\"text\": \"a\"}]",
            ", line 3: expected a JSON object in each line, such as {\"text\": \"…\"}; write one object",
        ),
        (d(), "text", ", line 3: expected a JSON object"),
        (JsonLines::new("/text/a"), "{\"text\": \"b\"}", ", line 1, column /text/a: there is no such field"),
        (d(), "{\"text\": \"a\", \"y\": \" \"}", ", line 3, column y: the label is missing"),
        // JSON's own true is a number, the word is none.
        (
            d().numbers(),
            "{\"text\": \"a\", \"y\": \"true\"}",
            ", line 3, column y: expected a finite number as label, got \"true\"; correct the label, or set .classes()",
        ),
        // Bytes are those of the line, also of what is wrong within a value.
        (
            d(),
            "{\"text\": \"a\", \"y\": \"\\udc00\"}",
            ", line 3: the line is no JSON object: lone leading surrogate in hex escape, at byte 26 of it",
        ),
        (
            JsonLines::new("/t/a"),
            "{\"t\": {\"a\": \"b\", \"a\": \"c\"}}",
            ", line 3: the line is no JSON object: the field \"a\" comes twice, at byte 26 of it",
        ),
    ] {
        let good = good.replacen("{", "{\"t\": {\"a\": \"b\"}, ", 1);
        let path = folder.file("a.jsonl", format!("{good}\n{line}\n"));
        let error = message(how.open(&path), &path);
        assert!(error.starts_with(expected), "{line}\n{error}\n{expected}");
    }
    // Depth costs no stack.
    for line in [format!("{{\"text\": {}", "[".repeat(1 << 20)), format!("{{\"x\": {}", "{\"a\":".repeat(1 << 20))] {
        let path = folder.file("a.jsonl", line);
        let error = message(JsonLines::default().open(&path), &path);
        assert!(error.starts_with(", line 1: the line is no JSON object: EOF while parsing"), "{error}");
    }
    let deep = format!("{{\"x\": {}1{}, \"text\": \"a\"}}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    assert_eq!(all(&JsonLines::default().open(folder.file("a.jsonl", deep)).unwrap()), ["a"]);
    let path = folder.file("a.jsonl", good);
    let twice = d().class_names(["a", "a"]);
    assert!(message(twice.open(&path), &path).contains("class_names must be different, got \"a\" twice"));
    let path =
        folder.file("a.jsonl", "{\"text\": \"a\", \"y\": \"New York\"}\n{\"text\": \"a\", \"y\": \"New  York\"}");
    assert!(message(d().open(&path), &path).contains("differ in white space alone"));
    let none = JsonLines::default().texts([""; 0]);
    assert!(message(none.open(&path), &path).contains("texts must be at least one field"));
}

#[test]
fn tables_of_every_kind() {
    let folder = Folder::new("table");
    let d = TextTable::default;
    for (how, text) in [
        (d(), "so fine,pos\n\"so, dull\",neg\nfine,pos\n"),
        (d(), "\u{feff}so fine\tpos\r\nso, dull\tneg\r\n\r\nfine\tpos"),
        (d(), "so fine;pos\nso, dull;neg\nfine;pos\n"),
        (d(), "so fine|pos\nso, dull|neg\nfine|pos\n"),
        (d().text(1).label(0), "pos\tso fine\nneg\tso, dull\npos\tfine\n"),
        (d().text(-1).label(-2), "7,pos,so fine\n8,neg,\"so, dull\"\n9, pos ,fine\n"),
        (d().text("t").label("y"), "y,id,t\npos,1,so fine\nneg,2,\"so, dull\"\npos,3,fine\n"),
        (d().text("t").label("y"), "\u{feff}\"t\"\t\"y\"\n\"so fine\"\tpos\nso, dull\tneg\n\"fine\"\tpos\n"),
        (d().header(true), "some\tthing\nso fine\tpos\nso, dull\tneg\nfine\tpos\n"),
        (d().delimiter(b'#'), "so fine#pos\nso, dull#neg\n\nfine#pos\n"),
    ] {
        let path = folder.file("a.csv", text);
        let texts = how.open(&path).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(all(&texts), ["so fine", "so, dull", "fine"], "{text:?}");
        assert_eq!((texts.class_names(), labels(&texts)), (&["neg".to_owned(), "pos".into()][..], vec![1.0, 0.0, 1.0]));
        check_places(&texts);
        let seen = how.clone().by_appearance(true).open(&path).unwrap();
        assert_eq!((&seen.class_names()[0][..], labels(&seen)), ("pos", vec![0.0, 1.0, 0.0]));
        let given = how.class_names(["no", "neg", "pos"]).open(&path).unwrap();
        assert_eq!(labels(&given), [2.0, 1.0, 2.0]);
    }
    // Numbers, quotes that are none, several texts, lines within quotes.
    let path = folder.file("a.tsv", "5\" nails\t2.5\n\"oh\t-1\n");
    let texts = d().quotes(false).open(&path).unwrap();
    assert_eq!((all(&texts), labels(&texts)), (vec!["5\" nails".to_owned(), "\"oh".into()], vec![2.5, -1.0]));
    let path = folder.file("a.csv", "q,a,y\n\"one\r\n\r\ntwo\",\"say \"\"x\"\"\",10\nb,c,9\nd,e,10\n");
    let texts = d().texts(["a", "q"]).label("y").open(&path).unwrap();
    assert_eq!(texts.get(0).unwrap().texts, ["say \"x\"", "one\n\ntwo"]);
    assert_eq!(labels(&texts), [10.0, 9.0, 10.0]);
    check_places(&texts);
    let classes = d().texts(["a", "q"]).label("y").classes().open(&path).unwrap();
    assert_eq!((classes.class_names(), labels(&classes)), (&["9".to_owned(), "10".into()][..], vec![1.0, 0.0, 1.0]));
    // What stands between tabs is a record, if it is nothing.
    let path = folder.file("a.tsv", "a\tb\n\n \n\t\n\u{3000}\nc\td\n");
    let texts = d().texts([0, 1]).no_label().allow_empty(true).open(&path).unwrap();
    assert_eq!(all(&texts), ["a", "b", "", "", "c", "d"]);
    check_places(&texts);
    assert!(message(d().open(&path), &path).starts_with(", line 4, column 1: the text is empty"));
    let path = folder.file("a.txt", "just text\nand, more\n");
    assert_eq!(all(&d().no_label().open(&path).unwrap()), ["just text", "and, more"]);
}

#[test]
fn what_is_wrong_with_tables() {
    let folder = Folder::new("bad_table");
    let d = || TextTable::default().delimiter(b',');
    for (how, text, expected) in [
        (d(), "a,x\nb\n", ", line 2: expected 2 cells as in the first record, got 1; add or remove cells"),
        (d(), "a,x\n\nb,y,z\n", ", line 3: expected 2 cells as in the first record, got 3"),
        (d(), "a,x\n ,y\n", ", line 2, column 1: the text is empty; fill it in"),
        (d(), "a,x\nb, \n", ", line 2, column 2: the label is missing; give it"),
        (
            d(),
            "a,x\n\"b\nc\n",
            ", line 2: a quote opens in this record and is never closed; close it, or set .quotes(false)",
        ),
        (d(), "a,x\n\"b\nc\"d,y\n", ", line 2: text follows the closing quote of a cell"),
        (
            d(),
            "a,1\nb,x\n",
            ", line 2, column 2: the label \"x\" is a name, that of line 1 (\"1\") a number; correct the label",
        ),
        (d(), "a,x\nb,1\n", ", line 2, column 2: the label \"1\" is a number, that of line 1 (\"x\") a name"),
        (
            d(),
            "text,label\na,x\nb,y\nc,x\n",
            ", line 1, column 2: no other line has the class \"label\": this line may hold the columns' names; set .header(true)",
        ),
        (d().numbers(), "a,x\n", ", line 1, column 2: expected a finite number as label, got \"x\""),
        (d().numbers(), "a,1\nb,true\n", ", line 2, column 2: expected a finite number as label, got \"true\""),
        (d().numbers(), "a,1\nb,1e999\n", ", line 2, column 2: expected a finite number as label, got \"1e999\""),
        (d().class_names(["x"]), "a,x\nb,y\n", ", line 2, column 2: unknown class \"y\"; the classes are x"),
        (
            d().class_names(["x"]),
            "text,label\na,x\n",
            ", line 1, column 2: unknown class \"label\"; the classes are x; set .header(true) if this line holds the columns' names",
        ),
        (d().header(true), "text,label\ra,x\rb,y\r", ", line 1: lines end in carriage returns alone (old Mac text)"),
        (TextTable::default(), "a,x\rb,y;\rc,x\r", ", line 1: lines end in carriage returns alone (old Mac text)"),
        (
            TextTable::default(),
            "a\tx\n\"b\ty\nc\tx\n",
            ", line 2: a quote opens in this record and is never closed; close it, or set .quotes(false)",
        ),
        (d().text("t"), "a,x\nb,y\n", ", line 1: there is no column \"t\"; the columns are a, x"),
        (d().text("a").header(false), "a,x\n", ", line 1: there is no column \"a\": the table has no line of names"),
        (d().text("a"), "a,a\nb,y\n", ", line 1: there are several columns \"a\""),
        (d().text(2), "a,x\n", ", line 1: there is no column 2 among 2; columns are 0 to 1"),
        (d().text(1), "a,x\n", ", line 1, column 2: the column is both text and label"),
        (d().header(true), "a,x\n", ": there is no text in the file"),
        (d(), "", ": there is no text in the file"),
        (TextTable::default(), "", ": there is no text in the file"),
        (TextTable::default(), "a,b\tc;d|e\nf\n", ": neither tab, comma, semicolon nor | cuts"),
        (TextTable::default().text("t").label("y"), "\u{feff}\n \n", ": there is no text in the file"),
        (
            d(),
            "a,New York\nb,New  York\nc,New York\n",
            ", column 2: the classes \"New York\" and \"New  York\" differ in white space alone",
        ),
        (TextTable::default(), "a;b,c\nd;e,f\n", ": each of \",\", ';'"),
        (
            TextTable::default(),
            "a b\nd e\n",
            ": neither tab, comma, semicolon nor | cuts the first records into as many cells each, at least 2",
        ),
    ] {
        let path = folder.file("a.csv", text);
        let error = message(how.open(&path), &path).replace("','", "\",\"");
        assert!(error.starts_with(expected), "{text:?}\n{error}\n{expected}");
    }
    // Where the line of names was read, nobody is asked whether there is one.
    for (how, text) in [
        (d().text("t").label("y").numbers(), "t,y\na,1\nb,x\n"),
        (d().text("t").label("y").class_names(["x"]), "t,y\na,z\n"),
        (d().header(true), "t,y\na,1\nb,x\n"),
    ] {
        let path = folder.file("names.csv", text);
        let error = message(how.open(&path), &path);
        assert!(error.contains("label") || error.contains("unknown class"), "{error}");
        assert!(!error.contains(".header(true)"), "{error}");
    }
    let path = folder.file("commas.csv", "text,label\nso fine, so dull,x\n");
    let error = message(TextTable::default().header(true).open(&path), &path);
    assert!(error.ends_with("check the first lines: a text with a delimiter in it stands in quotes"), "{error}");
    let path = folder.file("a.csv", b"a,x\nb\xffc,y\n");
    assert!(message(d().open(&path), &path).starts_with(", line 2: byte 5 (0xFF"));
    assert!(message(d().delimiter(b'"').open(&path), &path).contains("delimiter must be an ASCII character"));
    // Many cells, and many and long names.
    let path = folder.file("a.csv", ",".repeat(1 << 20));
    assert!(message(d().open(&path), &path).starts_with(", line 1: more than 65536 cells; check .delimiter(...)"));
    assert!(message(d().quotes(false).open(&path), &path).starts_with(", line 1: more than 65536 cells"));
    let path = folder.file("a.csv", format!("{}{}\n", "x".repeat(100_000), ",y".repeat(1000)));
    let error = message(d().text("t").open(&path), &path);
    assert!(
        error.len() < 300 && error.ends_with("x…, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, …"),
        "{error}"
    );
    // The text in the place of the label.
    let path = folder.file("a.csv", format!("a,{}\n", "word ".repeat(1000)));
    assert!(message(d().open(&path), &path).contains("a label of 4999 bytes, more than 1000"));
    let many: String = (0..70_000).map(|i| format!("a,n{i}\n")).collect();
    let path = folder.file("a.csv", many);
    assert!(message(d().open(&path), &path).starts_with(", line 65537, column 2: more than 65536 different labels"));
    // A quote that is never closed is not read to the end of a large file.
    let path = folder.file("a.csv", format!("\"a,x\n{}", "b,y\n".repeat(100_000)));
    assert!(
        message(d().max_bytes(1000).open(&path), &path)
            .starts_with(", line 1: a text longer than 1000 bytes begins here")
    );
}

#[test]
fn folders_of_classes() {
    let folder = Folder::new("folder");
    for (name, text) in [
        ("pos/b.txt", "\u{feff}so fine\r\nyes\r\n"),
        ("pos/a.TXT", "fine"),
        ("neg/deep/1.txt", "dull"),
        ("neg/0", "no ending\n"),
        ("neg/.hidden.txt", ""),
        ("neg/notes.md", "not a text"),
        ("unsup/x.txt", "who knows"),
        ("urls.txt", "passed over"),
    ] {
        folder.file(name, text);
    }
    let texts = TextFolder::default().class_names(["neg", "pos"]).open(&folder.0).unwrap();
    assert_eq!(all(&texts), ["no ending", "dull", "fine", "so fine\nyes"]);
    assert_eq!((labels(&texts), texts.class_names().len()), (vec![0.0, 0.0, 1.0, 1.0], 2));
    let texts = TextFolder::default().endings([".md", "txt"]).open(&folder.0).unwrap();
    assert_eq!((texts.class_names().join(" "), texts.len()), ("neg pos unsup".to_owned(), 5));
    check_places(&texts);
    let d = TextFolder::default;
    let error = |how: TextFolder| message(how.open(&folder.0), &folder.0);
    assert!(error(d().class_names(["neg", "other"])).contains("there is no folder \"other\""));
    assert!(error(d().class_names(["neg", "../neg"])).contains("there is no folder \"../neg\""));
    assert!(error(d().class_names(["neg", "neg"])).contains("got \"neg\" twice"));
    assert!(error(d().class_names([""; 0])).contains("class_names must be at least one, got none"));
    assert!(error(d().endings(["md"])).contains("a class without texts; add some, or set .endings(...) (now \"md\")"));
    assert!(error(d().max_bytes(4)).contains(": the text is longer than 4 bytes"));
    folder.file("neg/0", b"a\nb\xff");
    assert!(error(d()).contains("0, line 2: byte 3 (0xFF, counted from 0) is not UTF-8"));
    folder.file("neg/0", "\n");
    assert!(error(d()).contains("0: there is no text in the file"));
    assert!(d().allow_empty(true).open(&folder.0).is_ok());
    folder.file("neg/0", b"\x89PNG\r\n\x1a\n");
    assert!(error(d()).contains("0: the file is a PNG picture, not a text file"));
    assert!(message(d().open(folder.0.join("pos")), &folder.0).contains("a folder without classes"));
}

/// A table of texts of many lengths.
fn table(folder: &Folder, n: usize) -> PathBuf {
    let line = |i: usize| format!("\"{} wörd, {}\",{}\n", i, "x\n".repeat(i * 31 % 23), ["b", "a", "c"][i * i % 7 % 3]);
    folder.file("data.csv", (0..n).map(line).collect::<String>())
}

#[test]
fn workers_change_nothing() {
    let folder = Folder::new("workers");
    let texts = TextTable::default().delimiter(b',').open(table(&folder, 500)).unwrap();
    let (train, held) = texts.split_stratified(0.2, 5).unwrap();
    assert_eq!((train.len(), held.len(), train.class_names().len()), (400, 100, 3));
    // A part of texts is the part of the source.
    let (subset, _): (Subset<_>, _) = Source::<f32>::split_stratified(texts.encode(bytes), 0.2, 5).unwrap();
    assert_eq!(
        batches(&train.encode(bytes).shuffle(3).bucket(32).window(4), 1),
        batches(&subset.shuffle(3).bucket(32).window(4), 1)
    );
    // From memory.
    let kept = train.read_all().unwrap();
    let numbers: Vec<usize> = kept.iter().map(|sample| sample.label.unwrap() as usize).collect();
    let memory = Texts::labelled(kept.iter().map(|sample| sample.texts[0].clone()), &numbers).unwrap();
    let chain = |texts: &Texts| texts.encode(bytes).shuffle(3).bucket(32).window(4);
    let alone = chain(&memory);
    for workers in [1, 2, 3, 4] {
        let ahead = chain(&train).prefetch(workers).unwrap();
        for epoch in [0, 1, 5] {
            assert_eq!(batches(&ahead, epoch), batches(&alone, epoch), "{workers} workers, epoch {epoch}");
        }
        for index in [12, 3, 4, 4, 0] {
            let (mut a, mut b) = (Batch::default(), Batch::default());
            ahead.load(2, index, &mut a).unwrap();
            alone.load(2, index, &mut b).unwrap();
            assert_eq!(a, b);
        }
    }
    // Padding is behind the ids, and nothing of a text is lost.
    for (batch, other) in
        batches(&alone, 0).iter().zip(batches(&memory.encode(bytes).shuffle(3).bucket(32).window(4).pad(-1.0, 0.0), 0))
    {
        for (a, b) in batch.x.as_slice().iter().zip(other.x.as_slice()) {
            assert!(*a == *b && *a > 0.0 || *a == 0.0 && *b == -1.0);
        }
    }
}

#[test]
fn sources_say_what_is_wrong() {
    let texts = Texts::labelled(["a", "bb"], &[0, 1]).unwrap();
    let mut batch: Batch = Batch::default();
    let error = texts.encode(|text| Ok(vec![text.len() as i64 - 2])).batch(2).load(0, 0, &mut batch).unwrap_err();
    assert_eq!(
        error.to_string(),
        "encode: token id must be a whole number from 0, got another in sample 0, at place 0; correct what makes ids of texts"
    );
    let error = texts.encode(|_| Ok([(1usize << 24) + 1])).batch(2).load(0, 0, &mut batch).unwrap_err();
    assert!(error.to_string().contains("token id must be a number that f32 holds exactly, got 16777217"), "{error}");
    let mut wide: Batch<f64> = Batch::default();
    texts.encode(|_| Ok([(1usize << 24) + 1])).batch(2).load(0, 0, &mut wide).unwrap();
    let counter = std::sync::atomic::AtomicUsize::new(0);
    let moody = texts.encode(|_| Ok(vec![1u8; counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed)]));
    let data = moody.batch(1);
    let errors = (0..6).filter_map(|i| data.load(0, i % 2, &mut batch).err()).map(|error| error.to_string());
    let errors: Vec<String> = errors.collect();
    assert!(errors.iter().any(|error| error.contains("let the ids depend on the text alone")), "{errors:?}");
    let error = texts.encode(|_| Err::<Vec<usize>, _>(Error::custom("no"))).batch(1).load(0, 0, &mut batch);
    assert_eq!(error.unwrap_err().to_string(), "no");
    let flat = texts.vectorize(0, |_: &str, _: &mut [f32]| Ok(())).batch(1);
    assert!(Dataset::<f32>::check(&flat).unwrap_err().to_string().contains("width must be at least 1"));
    for width in [FREE, usize::MAX] {
        let endless = texts.vectorize(width, |_: &str, _: &mut [f32]| Ok(())).batch(1);
        assert!(endless.load(0, 0, &mut batch).is_err());
        let error = Dataset::<f32>::check(&endless).unwrap_err().to_string();
        assert!(error.contains("width must be at least 1, and not FREE"), "{error}");
    }
    assert!(Texts::labelled(["a"], &[0, 1]).is_err() && Texts::new([""; 0]).is_err());
    assert!(
        Texts::new(["a", "b", "c"]).unwrap().split_stratified(0.5, 0).unwrap_err().to_string().contains("labelled")
    );
    // Texts without ids are all filling.
    texts.encode(|_| Ok([0usize; 0])).batch(2).load(0, 0, &mut batch).unwrap();
    assert_eq!(batch.x, Tensor::zeros([2, 1]));
}

/// Stopped in the middle of an epoch and gone on, with another number of workers.
#[cfg(feature = "files")]
#[test]
fn a_run_over_texts_is_resumed() {
    let folder = Folder::new("resumed");
    let path = table(&folder, 300);
    let train = |name: &str, checkpointed: bool, packed: bool, workers: usize, stop: Option<usize>| {
        let texts = TextTable::default().delimiter(b',').open(&path).unwrap();
        let outputs = if packed { 260 } else { 3 };
        let mut model = Sequential::new([FREE]).add(Embedding::new(260, 4).mask_zero(true));
        model = if packed { model.add(Dense::new(8)) } else { model.add(GlobalAveragePooling1d::new()) };
        let mut model =
            model.add(Dropout::new(0.3)).add(Dense::new(outputs).activation(Activation::Softmax)).build(2).unwrap();
        model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
        let data = match packed {
            false => texts.encode(bytes).shuffle(3).bucket(16).window(4).prefetch(workers),
            true => {
                let packing = Packing::new(24).end(258).shuffle(4).whole(50);
                packing.build(texts.encode(bytes)).unwrap().shuffle(3).batch(16).prefetch(workers)
            }
        };
        let mut batches = 0;
        let mut plug = LambdaCallback::default().on_batch_end(|_, _, _| {
            batches += 1;
            if Some(batches) == stop { Err(Error::custom("stop")) } else { Ok(()) }
        });
        let checkpoint = Checkpoint::new(folder.0.join(name)).every_steps(1);
        let mut how = Fit::default().epochs(2).verbose(Verbose::Silent);
        if checkpointed {
            how = how.checkpoint(&checkpoint);
        }
        let history = model.fit_dataset(&data.unwrap(), &how, &mut [&mut plug]);
        drop(plug);
        history.map(|history| (history, model.params().clone()))
    };
    for packed in [false, true] {
        let name = if packed { "packed" } else { "bucketed" };
        assert!(train(name, true, packed, 1, Some(7)).is_err());
        assert!(train(name, true, packed, 3, Some(5)).is_err());
        assert_eq!(train(name, true, packed, 4, None).unwrap(), train("none", false, packed, 1, None).unwrap());
    }
}

/// Documents of many lengths, also without ids, whose ids say where they come from.
fn documents() -> (TokenIds, Vec<Vec<usize>>) {
    let all: Vec<Vec<usize>> =
        (0..97).map(|d| (0..d * 37 % 41 * usize::from(d % 9 != 0)).map(|i| 10 + d * 50 + i).collect()).collect();
    let mut ids = TokenIds::new();
    all.iter().for_each(|document| ids.push(document).unwrap());
    (ids, all)
}

fn row(source: &dyn Source<f64>, i: usize) -> Vec<Vec<usize>> {
    let mut shapes = Vec::new();
    source.shapes_at(0, i, &mut shapes).unwrap();
    let (y_len, parts) = (shapes.last().unwrap().len(), shapes.len() - 1);
    let (mut x, mut y) = (vec![0.0; y_len * parts], vec![0.0; y_len]);
    source.read(0, i, &mut x, &mut y).unwrap();
    let whole = |v: &[f64]| v.iter().map(|v| *v as usize).collect::<Vec<_>>();
    x.chunks(y_len).chain([&y[..]]).map(whole).collect()
}

#[test]
fn concatenated_rows_are_the_stream() {
    let (ids, all) = documents();
    for (end, keep) in [(None, false), (Some(1), true), (Some(1), false)] {
        let stream: Vec<usize> =
            all.iter().filter(|d| !d.is_empty()).flat_map(|d| d.iter().copied().chain(end)).collect();
        for length in [1, 2, 7, 40, 101, stream.len() - 1] {
            let mut packing = Packing::new(length).keep_last(keep).boundaries(true);
            packing = end.map_or(packing.clone(), |end| packing.end(end));
            let rows = packing.build(&ids).unwrap();
            let pairs = stream.len() - 1;
            assert_eq!(rows.rows(), if keep { pairs.div_ceil(length) } else { pairs / length });
            for i in 0..rows.rows() {
                let [tokens, segments, positions, targets] = &row(&rows, i)[..] else { panic!() };
                let from = i * length;
                let n = length.min(pairs - from);
                assert_eq!(tokens[..], stream[from..from + n]);
                assert_eq!(targets[..], stream[from + 1..from + n + 1]);
                // A segment is a document's, positions count within it.
                for k in 0..n {
                    let begins = k == 0 || (k > 0 && segments[k] != segments[k - 1]);
                    assert_eq!(positions[k], if begins { 0 } else { positions[k - 1] + 1 });
                    assert_eq!(segments[k], if k == 0 { 1 } else { segments[k - 1] + usize::from(begins) });
                    let document =
                        |k: usize| if tokens[k] == 1 { (tokens[k - 1] - 10) / 50 } else { (tokens[k] - 10) / 50 };
                    if k > 0 && tokens[k] != 1 && (tokens[k - 1] != 1 || k > 1) {
                        assert_eq!(begins, document(k) != document(k - 1));
                    }
                }
            }
        }
    }
    let error = |packing: Packing| packing.build(&ids).unwrap_err().to_string();
    assert!(error(Packing::new(0)).contains("length must be from 1"));
    assert!(error(Packing::new(1 << 20)).contains("of at least 1048577 tokens in all"));
    assert!(error(Packing::new(4).whole(0)).contains("window must be at least 1"));
    assert!(Packing::new(4).keep_last(true).build(TokenIds::new()).is_err());
    assert!(TokenIds::new().push(&[1 << 32]).is_err());
    // Many tokens, none of which has another behind it.
    let mut ones = TokenIds::new();
    (0..9).for_each(|id| ones.push(&[id]).unwrap());
    let error = Packing::new(4).whole(3).build(&ones).unwrap_err().to_string();
    assert!(error.contains("documents must be of at least 2 tokens, one of them, got fewer; pass more"), "{error}");
    assert_eq!(Packing::new(4).whole(3).end(9).build(&ones).unwrap().rows(), 3);
}

#[test]
fn whole_documents_share_rows() {
    let (ids, all) = documents();
    for (length, window, seed) in [(40, 1000, None), (40, 10, Some(3)), (64, 25, Some(4)), (9, 30, None), (1, 5, None)]
    {
        let mut packing = Packing::new(length).end(1).whole(window).boundaries(true);
        packing = seed.map_or(packing.clone(), |seed| packing.shuffle(seed));
        let rows = packing.build(&ids).unwrap();
        let mut pairs = Vec::new();
        for i in 0..rows.rows() {
            let [tokens, segments, positions, targets] = &row(&rows, i)[..] else { panic!() };
            assert!((1..=length).contains(&tokens.len()));
            for k in 0..tokens.len() {
                let document = (tokens[k] - 10) / 50;
                // The target is the document's own next token, or its end.
                let own = &all[document];
                let place = tokens[k] - 10 - document * 50;
                assert_eq!(targets[k], own.get(place + 1).copied().unwrap_or(1));
                assert_eq!(
                    positions[k],
                    if k > 0 && segments[k] == segments[k - 1] { positions[k - 1] + 1 } else { 0 }
                );
                if own.len() <= length {
                    assert_eq!(positions[k], place);
                }
                pairs.push(tokens[k]);
            }
        }
        pairs.sort_unstable();
        assert_eq!(pairs, all.concat(), "every token once");
        // Nothing that fits a row before it stands alone: best fit wastes little.
        if window == 1000 {
            let least = pairs.len().div_ceil(length);
            assert!(rows.rows() <= least + least / 10 + 1, "{} rows of at least {least}", rows.rows());
        }
        assert_eq!(rows.documents().total(), pairs.len());
    }
    // The order of documents follows from the seed.
    let first = |seed| row(&Packing::new(40).end(1).whole(10).shuffle(seed).build(&ids).unwrap(), 0);
    assert_eq!(first(3), first(3));
    assert_ne!(first(3), first(4));
    // From texts that are encoded on the way: the same rows, for several workers.
    let texts = Texts::new((0..60).map(|i| "word ".repeat(1 + i * 7 % 11))).unwrap();
    let packing = Packing::new(32).end(0).shuffle(1).whole(16).boundaries(true);
    let eager = packing.build(TokenIds::of(&texts.encode(bytes)).unwrap()).unwrap().shuffle(2).batch(3);
    for workers in [1, 2, 4] {
        let ahead = packing.build(texts.encode(bytes)).unwrap().shuffle(2).batch(3).prefetch(workers).unwrap();
        for epoch in 0..2 {
            assert_eq!(batches(&ahead, epoch), batches(&eager, epoch));
        }
    }
    // What is filled up in targets does not count.
    let filled = batches(&eager, 0).into_iter().find(|batch| !batch.masks.is_empty()).unwrap();
    for (mask, segment) in filled.masks[0].iter().zip(filled.more_x[0].as_slice()) {
        assert_eq!(*mask, *segment > 0.0);
    }
}

/// The most memory this process holds does not grow with the file, but for the index: ten times the file, at most a little more.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_file() {
    use std::io::Write;

    use crate::child;
    if let Some(path) = child::task() {
        let texts = TextLines::default().open(&path).unwrap();
        let data = texts.encode(bytes).shuffle(1).batch(64).prefetch(2).unwrap();
        let mut batch: Batch = Batch::default();
        for index in 0..data.batches().unwrap() {
            data.load(0, index, &mut batch).unwrap();
        }
        assert!(texts.texts().all(|text| text.is_ok()));
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        println!("{}", status.lines().find(|l| l.starts_with("VmHWM:")).unwrap());
        return;
    }
    let folder = Folder::new("memory");
    let peak = |rows: usize| {
        let path = folder.file(&format!("rows_{rows}"), "");
        let mut out = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
        (0..rows).for_each(|i| writeln!(out, "{i} {}", "some words of text ".repeat(i % 60)).unwrap());
        out.into_inner().unwrap();
        let size = std::fs::metadata(&path).unwrap().len();
        let task = path.display().to_string();
        let output = child::ran(child::again(memory_does_not_grow_with_the_file, &task).spawn().unwrap());
        let kilobytes =
            output.lines().find_map(|l| l.split_once("VmHWM:")?.1.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        (size, kilobytes.unwrap_or_else(|| panic!("{output}")) * 1024)
    };
    let ((small, a), (large, b)) = (peak(5_000), peak(50_000));
    println!("files of {small} and {large} bytes: {a} and {b} bytes of memory");
    assert!(
        large > small * 9 && b < a + (large - small) / 10,
        "files of {small} and {large} bytes: {a} and {b} bytes of memory"
    );
}

#[test]
fn texts_and_labels_for_a_front_door() {
    let folder = Folder::new("text_data_read_labelled");
    let texts = TextTable::default().open(folder.file("a.csv", "a,x\nb,y\nc,x\nd,y\n")).unwrap();
    let (read, y) = texts.read_labelled::<f64>().unwrap();
    assert_eq!((read.concat().as_str(), y), ("abcd", Tensor::<f64>::from_labels(&[0, 1, 0, 1])));
    let (train, _) = texts.split_stratified(0.5, 1).unwrap();
    let (read, y) = train.read_labelled::<f32>().unwrap();
    let labels: Vec<usize> = train.read_all().unwrap().iter().map(|sample| sample.label.unwrap() as usize).collect();
    assert_eq!((read, y), (train.texts().collect::<Result<Vec<_>, _>>().unwrap(), Tensor::from_labels(&labels)));
    let error = Texts::new(["a"]).unwrap().read_labelled::<f32>().unwrap_err().to_string();
    assert!(error.contains("must be labelled, got texts without labels"), "{error}");
    let pairs = TextTable::default().texts([0, 1]).label(2).open(folder.file("b.csv", "a,b,x\nc,d,y\n")).unwrap();
    let error = pairs.read_labelled::<f32>().unwrap_err().to_string();
    assert!(error.contains("must be one for each label, got 2"), "{error}");
    let large = TextTable::default().open(folder.file("c.csv", "1e300,2e300\n".repeat(9))).unwrap();
    assert!(large.read_labelled::<f64>().is_ok() && large.read_labelled::<f32>().is_err());
}

#[test]
fn what_debug_prints_is_short() {
    let folder = Folder::new("text_data_debug");
    let rows: String = (0..3000).map(|i| format!("text {i},{}\n", i % 2)).collect();
    let texts = TextTable::default().open(folder.file("a.csv", rows)).unwrap();
    let words: Vec<String> = (0..3000).map(|i| format!("w{i}")).collect();
    let vectors = gradus::text::WordVectors::new(words.clone(), Tensor::zeros([3000, 3])).unwrap();
    let vocabulary = gradus::text::Vocabulary::count(&words, 1, None).unwrap();
    let pairs = gradus::text::SkipGrams::default().of([vocabulary.encode(&words)], &vocabulary).unwrap();
    for shown in [format!("{texts:?}"), format!("{vectors:?}"), format!("{vocabulary:?}"), format!("{pairs:?}")] {
        assert!(shown.len() < 1000, "{shown}");
    }
}
