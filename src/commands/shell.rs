//! Words of proposed commands, as a shell takes them.

use std::borrow::Cow;

/// A word that a POSIX shell reads as this text: as it is where nothing in it means anything to a shell, and in single
/// quotes elsewhere.
pub(super) fn word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:@%+,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

/// A path as the word of a command, which no option begins like.
pub(super) fn path(text: &str) -> Cow<'_, str> {
    match text.starts_with('-') {
        true => Cow::Owned(word(&format!("./{text}")).into_owned()),
        false => word(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_take_them_apart() {
        for (text, expected) in [
            ("shop", "shop"),
            ("../shop_2/ä.b", "../shop_2/ä.b"),
            ("my shop", "'my shop'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("~x", "'~x'"),
            ("a;b&c|d", "'a;b&c|d'"),
            ("a\nb", "'a\nb'"),
            ("#a", "'#a'"),
            ("", "''"),
        ] {
            assert_eq!(word(text), expected);
        }
        assert_eq!((path("-x"), path("- x"), path("a-")), ("./-x".into(), "'./- x'".into(), "a-".into()));
    }

    #[test]
    fn the_folder_of_a_proposed_command_is_one_word() {
        let command = |project| crate::commands::output::command("verify", project);
        assert_eq!(command("."), "eventlift verify");
        assert_eq!(command("my shop"), "eventlift verify 'my shop'");
        assert_eq!(command("-shop"), "eventlift verify ./-shop");
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_reads_them_as_they_were() {
        for text in ["my shop", "it's", "$HOME `id` \\ \" * ? [a] {b} <c> !d", " ", "", "a\tb"] {
            let read = std::process::Command::new("sh").arg("-c").arg(format!("printf %s {}", word(text))).output();
            assert_eq!(String::from_utf8(read.unwrap().stdout).unwrap(), text);
        }
    }
}
