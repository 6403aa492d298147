//! Jinja2's templates, as far as chats use them: rendered byte by byte as by Python's Jinja2 with `trim_blocks` and `lstrip_blocks`, which is what transformers
//! has.
//!
//! - Python's rules hold for what is printed (`True`, `None`, `['a']`), compared, cut and stripped. What is not built is an error that names it, when it is
//!   reached; never another text.
//! - Templates come with models, so they are not trusted: they cannot reach anything but their variables, and steps, memory and levels are bounded.
//!
//! Why not a crate: minijinja, the well-kept one, prints `true` where Python has `True`, slices `none`, joins strings of any length within one of its steps, so
//! that a template of a line takes all memory, and does not know the tag `generation`.
//!
//! <https://jinja.palletsprojects.com/en/stable/templates/>

mod arguments;
mod budget;
mod expressions;
mod failure;
mod filters;
mod functions;
mod lexer;
mod methods;
mod operators;
mod parser;
mod run;
mod template;
mod tests_of_values;
mod tree;
mod value;
mod written;

pub use failure::Failure;
pub use template::Template;
pub use value::Value;

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> Result<String, Failure> {
        let message =
            |role: &str, content: &str| Value::dict([("role", Value::from(role)), ("content", Value::from(content))]);
        let messages = Value::list(vec![message("user", " Hi 'you' "), message("assistant", "é\n")]);
        let variables =
            vec![("messages", messages), ("none_", Value::None), ("n", Value::Int(7)), ("f", Value::Float(1e16))];
        Template::parse(source)?.render(variables, 1_700_000_000)
    }

    /// Each was rendered by Jinja2 3.1.6.
    #[test]
    fn as_jinja2_has_it() {
        for (source, text) in CASES {
            assert_eq!(render(source).as_deref(), Ok(*text), "{source}");
        }
    }

    const CASES: &[(&str, &str)] = &[
        (
            "{{ true }} {{ none }} {{ [1, 'a', none, 1.0, (1,), ()] }} {{ {'a': 'it\\'s', 2: \"\\n\\u200bé\"} }}",
            "True None [1, 'a', None, 1.0, (1,), ()] {'a': \"it's\", 2: '\\n\\u200bé'}",
        ),
        ("{{ 'a' ~ true ~ none ~ missing ~ 1.5 }}", "aTrueNone1.5"),
        (
            "{{ f }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1/3 }} {{ 7 // -2 }} {{ 7 % -2 }} {{ 2 ** 3 }} {{ -2 ** 2 }}",
            "1e+16 1000000000000000.0 0.0001 1e-05 0.3333333333333333 -4 -1 8 4",
        ),
        (
            "{{ messages[0].content.strip() }}|{{ messages[-1]['content'] | trim }}|{{ messages[5] is defined }}",
            "Hi 'you'|é|False",
        ),
        (
            "{% for m in messages[::-1] %}{{ loop.index0 }}{{ m.role }}{{ loop.last }}{% if loop.previtem is defined %}{{ loop.previtem.role }}{% endif %} {% endfor %}",
            "0assistantFalse 1userTrueassistant ",
        ),
        (
            "{% set ns = namespace(x=1) %}{% for m in messages if m.role != 'user' %}{% set ns.x = ns.x + loop.length %}{% set y = 2 %}{% endfor %}{{ ns.x }}{{ y }}",
            "2",
        ),
        ("{% for i in [1, 2] %}{% if loop.first %}{% set x = i %}{% endif %}[{{ x }}]{% endfor %}", "[1][]"),
        (
            "{% set x = 0 %}{% for i in [1, 2] %}[{{ x }}{% set x = i %}{{ x }}]{% else %}none{% endfor %}{{ x }}",
            "[01][02]0",
        ),
        (
            "{{ messages[0] | tojson }} {{ [1.0, none, true, \"<é\\\"\\x01>\"] | tojson(indent=2) }}",
            "{\"role\": \"user\", \"content\": \" Hi 'you' \"} [\n  1.0,\n  null,\n  true,\n  \"<é\\\"\\u0001>\"\n]",
        ),
        (
            "{% macro m(a, b='x') %}<{{ a }}{{ b }}>{% endmacro %}{{ m(1) }}{{ m(b=2, a='q') | upper }}{{ m() }}",
            "<1x><Q2><x>",
        ),
        ("{% set t %}a{{ n }}\n{% endset %}{{ t }}{{ t is string }}", "a7\nTrue"),
        (
            "{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c'.split(none, 1) }} {{ 'a.b'.rsplit('.', 1)[0] }}",
            "['a', 'b', '', 'c'] ['a', 'b'] ['a', 'b c'] a",
        ),
        (
            "{{ 'hello wORLD it\\'s'.title() }} {{ 'hello wORLD-it\\'s' | title }} {{ 'aB c' | capitalize }}",
            "Hello World It'S Hello World-It's Ab c",
        ),
        (
            "{{ 1 < n <= 7 }} {{ 'a' in 'abc' }} {{ 'x' not in ['y'] }} {{ 1 == true }} {{ 'role' in messages[0] }} {{ [1, 2] < [1, 3] }}",
            "True True True True True True",
        ),
        (
            "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages | map(attribute='role') | join(',') }}",
            "1user,assistant",
        ),
        (
            "{{ messages[0].items() | list }}{% for k, v in messages[0] | items %}{{ k }};{% endfor %}",
            "[('role', 'user'), ('content', \" Hi 'you' \")]role;content;",
        ),
        (
            "{{ missing is defined }}{{ missing | default('d') }}{{ '' | default('e', true) }}{{ missing | length }}{{ missing is iterable }}{{ none is none }}",
            "Falsede0TrueTrue",
        ),
        ("{{ strftime_now('%d %b %Y %H:%M:%S %j %A') }}", "14 Nov 2023 22:13:20 318 Tuesday"),
        (
            "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
            "02",
        ),
        ("{% generation %}x{% set q = 1 %}{% endgeneration %}{{ q }}", "x"),
        ("{{ messages[0].get('name', 'd') }}{{ messages[0].get('name') }}{{ messages[0].name }}", "dNone"),
        (
            "{{ 'abc'[::-1] }}{{ 'abc'[1:] }}{{ 'abc'[-1] }}{{ 'abc'[:-1] }}{{ [1,2,3][5:] }}{{ [1,2,3][::-2] }}",
            "cbabccab[][3, 1]",
        ),
        (
            "{{ 'x' if false }}|{{ 'x' if n > 3 else 'y' }}|{{ (n, 2)[0] }}|{{ 'ab' * 2 }}|{{ [1] + [2] }}",
            "|x|7|abab|[1, 2]",
        ),
        ("{{ 'a' 'b' }}{{ not missing }}{{ none or 'x' }}{{ 0 and 1 }}", "abTruex0"),
        (
            "{{ [3, 1, 2] | sort }}{{ ['b', 'A'] | sort | first }}{{ [1, 2] | last }}{{ 'abc' | reverse }}{{ [1, 1, 2] | unique | list }}",
            "[1, 2, 3]A2cba[1, 2]",
        ),
        (
            "{{ 'a-b' | replace('-', '+') }}{{ 'aaa'.replace('a', 'b', 2) }}{{ 'ab'.find('b') }}{{ 'x'.startswith(('x', 'y')) }}",
            "a+bbba1True",
        ),
    ];

    #[test]
    fn what_python_refuses_is_refused() {
        for (source, part) in [
            ("{{ missing.x }}", "'missing' is undefined"),
            ("\n{{ messages[0].name.first }}", "'dict object' has no attribute 'name'"),
            ("{{ none_[1:] }}", "sliced"),
            ("{{ 'a' + 1 }}", "+"),
            ("{{ 1 in 'a' }}", "in"),
            ("{{ messages.append(1) }}", "append"),
            ("{{ missing + 'a' }}", "undefined"),
            ("{{ 1 // 0 }}", "zero"),
            ("{{ missing() }}", "undefined"),
            ("{{ nothing | frobnicate }}", "frobnicate"),
            ("{{ 1 is frobnicated }}", "frobnicated"),
            ("{% for a, b in [[1]] %}{% endfor %}", "taken apart"),
            ("{{ 9223372036854775807 + 1 }}", "too large"),
            ("{% set n.x = 1 %}", "namespace"),
            ("{{ joiner is defined }}", "joiner"),
            ("{{ messages.__class__ }}", "__class__"),
        ] {
            let failure = render(source).unwrap_err();
            assert!(failure.problem.contains(part) && !failure.raised, "{source}: {failure:?}");
            assert_eq!(failure.line, if source.starts_with('\n') { 2 } else { 1 });
        }
        let raised = render("a\n{{ raise_exception('No ' + messages[0].role) }}").unwrap_err();
        assert_eq!(raised, Failure { line: 2, problem: "No user".into(), raised: true });
    }

    /// What would take all time, memory or levels ends soon.
    #[test]
    fn hostile_templates_end() {
        let loops = "{% for a in range(9999) %}".repeat(6) + "{{ a }}" + &"{% endfor %}".repeat(6);
        // As deep as a template can be, within macros that call each other.
        let deep = format!(
            "{{% macro m() %}}{}{{{{ 1{}{} + (1, m())[1] }}}}{}{{% endmacro %}}{{{{ m() }}}}",
            "{% if 1 %}".repeat(40),
            " + 1".repeat(20),
            " + 1 if 1".repeat(10),
            "{% endif %}".repeat(40)
        );
        for source in [
            "{% set ns = namespace(x='abcdefgh') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
            "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
            "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
            "{% set ns = namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == ns.x }}{{ ns.x | tojson }}{{ ns.x }}",
            "{% set ns = namespace(x=[1]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}",
            "{% set ns = namespace() %}{% for i in range(9) %}{% set ns.x = namespace(x=ns) %}{% endfor %}",
            "{{ 'a' * 1000000000000 }}",
            "{{ [1] * 1000000000000 }}",
            "{{ range(1000000000000) }}",
            "{{ 'aaaa'.replace('', 'b' * 1000000) }}{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
            "{{ ['a' * 1000000] * 10000 | join }}{{ (['a' * 100000] * 10000) | join }}",
            "{% set x = 'a' * 1000000 %}{% for i in range(99999) %}{% for j in range(99999) %}{% if 'b' in x %}{% endif %}{% endfor %}{% endfor %}",
            "{% set x = 'a' * 1000000 %}{{ x | indent(100000, true) }}{% for i in range(9999) %}{{ x }}{% endfor %}",
            "{{ [1] | tojson(indent=1000000000) }}",
            &loops,
            &deep,
        ] {
            let start = std::time::Instant::now();
            let failure = render(source).unwrap_err();
            assert!(!failure.raised && start.elapsed().as_secs() < 20, "{source}: {failure:?}");
        }
    }
}
