//! `{% generation %}` marks the assistant's words for training masks. Rendering only needs its scope and its white
//! space control, which a `with` block has too.

/// Python's template library reads sources with all line ends as one newline.
pub fn normalize_newlines(source: &str) -> String {
    source.replace("\r\n", "\n").replace('\r', "\n")
}

pub fn replace_generation_tags(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = next_tag(rest) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = match rest.starts_with("{#") {
            true => rest.find("#}").map_or(rest.len(), |end| end + 2),
            false => match (tag_word(rest), tag_end(rest)) {
                (Some("raw"), _) => raw_end(rest),
                (Some(word @ ("generation" | "endgeneration")), Some(end)) => {
                    let with = if word == "generation" { "with" } else { "endwith" };
                    text.push_str(&rest[..end].replacen(word, with, 1));
                    rest = &rest[end..];
                    continue;
                }
                _ => 2,
            },
        };
        text.push_str(&rest[..end]);
        rest = &rest[end..];
    }
    text.push_str(rest);
    text
}

/// The offset of the next `{%` or `{#`.
fn next_tag(text: &str) -> Option<usize> {
    text.as_bytes().windows(2).position(|pair| matches!(pair, b"{%" | b"{#"))
}

/// The word after `{%`, `{%-` or `{%+`, if the tag is that one word.
fn tag_word(tag: &str) -> Option<&str> {
    let body = &tag[2..tag_end(tag)? - 2];
    let body = body.strip_prefix(['-', '+']).unwrap_or(body);
    let body = body.strip_suffix(['-', '+']).unwrap_or(body).trim();
    body.bytes().all(|byte| byte.is_ascii_alphabetic()).then_some(body)
}

/// The offset behind the `%}` of a tag of at most 64 bytes: the tags that matter here are short.
fn tag_end(tag: &str) -> Option<usize> {
    tag.as_bytes()[2..].windows(2).take(64).position(|pair| pair == b"%}").map(|end| end + 4)
}

/// The offset behind `{% endraw %}` of a text that begins with `{% raw %}`.
fn raw_end(text: &str) -> usize {
    let mut at = 2;
    while let Some(next) = text[at..].find("{%") {
        at += next;
        if tag_word(&text[at..]) == Some("endraw") {
            return at + tag_end(&text[at..]).unwrap_or(2);
        }
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_tags_are_replaced() {
        let replaced = replace_generation_tags("a{%- generation -%}b{% endgeneration %}c");
        assert_eq!(replaced, "a{%- with -%}b{% endwith %}c");
        for same in [
            "{# {% generation %} #}",
            "{% raw %}{% generation %}{% endraw %}",
            "{% if generation %}{% endif %}",
            "{% generation",
            "{%",
            "{{ generation }}",
        ] {
            assert_eq!(replace_generation_tags(same), same);
        }
        assert_eq!(
            replace_generation_tags("{% raw %}{% x %}{% endraw %}{% generation %}"),
            "{% raw %}{% x %}{% endraw %}{% with %}"
        );
    }
}
