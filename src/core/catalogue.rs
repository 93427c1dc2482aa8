//! What we know of the world beside this cluster: names that are never safe to set, kernel parameters, fields of other projects'
//! objects, and what looks like a secret.

pub mod objects;
pub mod sysctl;

/// Environment names that no policy may set, with the reason. A policy author must not get more power over a pod than
/// numbers give: these load code, move credentials, or redirect traffic.
const FORBIDDEN: &[(&str, &str)] = &[
    ("LD_*", "it loads code into every process"),
    ("DYLD_*", "it loads code into every process"),
    ("PATH", "it decides which programs run"),
    ("HOME", "programs read their configuration there"),
    ("SHELL", "it decides which programs run"),
    ("IFS", "it changes what scripts mean"),
    ("ENV", "shells run the file that it names"),
    ("BASH_ENV", "shells run the file that it names"),
    ("PROMPT_COMMAND", "shells run it"),
    ("*_PROXY", "it redirects traffic"),
    ("*_proxy", "it redirects traffic"),
    ("PYTHON*PATH", "it loads code"),
    ("PYTHONSTARTUP", "it loads code"),
    ("PYTHONHOME", "it loads code"),
    ("NODE_PATH", "it loads code"),
    ("NODE_OPTIONS", "it can load code; runtime options have their own section"),
    ("NODE_EXTRA_CA_CERTS", "it changes whom the program trusts"),
    ("NODE_TLS_*", "it changes whom the program trusts"),
    ("JAVA_TOOL_OPTIONS", "it can load code; runtime options have their own section"),
    ("JDK_JAVA_OPTIONS", "it can load code; runtime options have their own section"),
    ("_JAVA_OPTIONS", "it can load code; runtime options have their own section"),
    ("JAVA_OPTS", "it can load code; runtime options have their own section"),
    ("CLASSPATH", "it loads code"),
    ("GUNICORN_CMD_ARGS", "it can load code; runtime options have their own section"),
    ("RUBYLIB", "it loads code"),
    ("RUBYOPT", "it loads code"),
    ("PERL5LIB", "it loads code"),
    ("PERL5OPT", "it loads code"),
    ("PERLLIB", "it loads code"),
    ("DOTNET_STARTUP_HOOKS", "it loads code"),
    ("COR_*", "it loads code"),
    ("CORECLR_*", "it loads code"),
    ("GIT_*", "it runs programs"),
    ("GCONV_PATH", "it loads code"),
    ("SSL_CERT_*", "it changes whom the program trusts"),
    ("CURL_CA_BUNDLE", "it changes whom the program trusts"),
    ("REQUESTS_CA_BUNDLE", "it changes whom the program trusts"),
    ("KUBERNETES_*", "it decides which API server the pod talks to"),
    ("KUBECONFIG", "it decides which API server the pod talks to"),
    ("AWS_*", "it holds or selects credentials"),
    ("AZURE_*", "it holds or selects credentials"),
    ("GOOGLE_*", "it holds or selects credentials"),
    ("*PASSWORD*", "policies never carry secrets: let the owner set it by valueFrom from a Secret"),
    ("*PASSWD*", "policies never carry secrets: let the owner set it by valueFrom from a Secret"),
    ("*SECRET*", "policies never carry secrets: let the owner set it by valueFrom from a Secret"),
    ("*CREDENTIAL*", "policies never carry secrets: let the owner set it by valueFrom from a Secret"),
    ("*_TOKEN", "policies never carry secrets: let the owner set it by valueFrom from a Secret"),
    ("*_KEY", "policies never carry secrets: let the owner set it by valueFrom from a Secret"),
    ("*_URL", "it is an address, not a number: let the owner set it by valueFrom from a Secret"),
    ("*_URI", "it is an address, not a number: let the owner set it by valueFrom from a Secret"),
    ("*_DSN", "it is an address, not a number: let the owner set it by valueFrom from a Secret"),
    ("*_HOST", "it is an address, not a number: let the owner set it by valueFrom from a Secret"),
    ("*_ENDPOINT", "it is an address, not a number: let the owner set it by valueFrom from a Secret"),
];

/// Why no policy may set the environment variable `name`; `None` when it may.
#[must_use]
pub fn forbidden_environment(name: &str) -> Option<&'static str> {
    FORBIDDEN.iter().find(|(pattern, _)| matches(pattern, name)).map(|(_, why)| *why)
}

/// Whether `name` matches `pattern`, in which `*` stands for any run of characters. Linear in both for one star, and
/// never worse than their product.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Position after the last star, and how much of the name that star has taken.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                Some((after, taken)) => {
                    retry = Some((after, taken + 1));
                    p = after;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Whether a value looks like a connection string or a secret: an address, a user with a password, or a word that is assigned
/// one. Policies are read by many, and end up in Git, statuses and logs.
#[must_use]
pub fn is_secret(value: &str) -> bool {
    const WORDS: [&str; 6] = ["password=", "passwd=", "pwd=", "secret=", "token=", "apikey="];
    let lower: String = value.to_ascii_lowercase().split_whitespace().collect();
    let credentials = || {
        let user = value.rsplit_once('@').map(|(before, _)| before.rsplit(['/', ' ']).next().unwrap_or_default());
        user.is_some_and(|user| user.split_once(':').is_some_and(|(name, word)| !name.is_empty() && !word.is_empty()))
    };
    lower.contains("://") || WORDS.iter().any(|word| lower.contains(word)) || credentials()
}

/// Whether a `ConfigMap` is named after its content, as kustomize and similar tools do: a new content gets a new name, so
/// an edit would be lost with the next release.
#[must_use]
pub fn is_content_hashed(name: &str) -> bool {
    // kustomize writes a hyphen and ten characters of this alphabet, which has no vowels and no 0 1 3.
    const ALPHABET: &str = "bcdfghkmt2456789";
    name.rsplit_once('-').is_some_and(|(_, hash)| {
        hash.len() == 10 && hash.chars().all(|c| ALPHABET.contains(c)) && hash.contains(|c: char| c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_load_code_move_credentials_or_redirect_traffic_are_forbidden() {
        for name in [
            "LD_PRELOAD",
            "PATH",
            "HTTP_PROXY",
            "https_proxy",
            "JAVA_TOOL_OPTIONS",
            "DATABASE_URL",
            "DB_PASSWORD",
            "PYTHONPATH",
            "AWS_ROLE_ARN",
            "API_TOKEN",
            "KUBERNETES_SERVICE_HOST",
        ] {
            assert!(forbidden_environment(name).is_some(), "{name}");
        }
        for name in ["DB_POOL_SIZE", "WEB_CONCURRENCY", "TRUST_SCORE_TTL", "REFLECTION_INTERVAL", "MAX_TOKENS", "PATHS"]
        {
            assert_eq!(forbidden_environment(name), None, "{name}");
        }
    }

    #[test]
    fn connection_strings_and_secrets_are_told_from_words() {
        for value in [
            "postgresql://app:pw@db:5432/app",
            "redis://cache:6379",
            "host=db user=app password=pw",
            "host=db Password = pw",
            "app:pw@tcp(db:3306)/app",
            "token=abc",
        ] {
            assert!(is_secret(value), "{value}");
        }
        for value in ["postgresql", "info", "a@b", "max_tokens", "12:30", "least-connections", "user:group"] {
            assert!(!is_secret(value), "{value}");
        }
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        assert!(matches("*", ""));
        assert!(matches("A*B*C", "AxxBByC"));
        assert!(!matches("A*B*C", "AxxBBy"));
        assert!(matches("APP_*", "APP_"));
        assert!(!matches("APP_*", "XAPP_"));
    }

    #[test]
    fn a_config_map_named_after_its_content_is_told_by_kustomizes_hash() {
        assert!(is_content_hashed("grace-config-7hc5ktd84g"));
        assert!(!is_content_hashed("grace-config"));
        assert!(!is_content_hashed("grace-production"));
    }
}
