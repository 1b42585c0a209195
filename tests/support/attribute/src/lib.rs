//! `#[test]` for suites with `harness = false`, where the compiler's own attribute has no effect: it registers the
//! function in the list that `homing_test_support::harness` runs.

use proc_macro::{Delimiter, TokenStream, TokenTree};

/// A test: a function without arguments, `async` or not, which fails by a panic. `#[ignore = "reason"]` after this
/// attribute has its usual meaning.
#[proc_macro_attribute]
pub fn test(_: TokenStream, function: TokenStream) -> TokenStream {
    let mut function: Vec<TokenTree> = function.into_iter().collect();
    let ignored = take_ignore(&mut function);
    let is_word = |token: &TokenTree, word: &str| matches!(token, TokenTree::Ident(it) if it.to_string() == word);
    let Some(at) = function.iter().position(|token| is_word(token, "fn")) else {
        return compile_error("a test is a function");
    };
    let Some(TokenTree::Ident(name)) = function.get(at + 1) else {
        return compile_error("a test has a name");
    };
    let run = if function[..at].iter().any(|token| is_word(token, "async")) {
        format!("|| ::homing_test_support::harness::block_on({name}())")
    } else {
        name.to_string()
    };
    let case = format!(
        "::homing_test_support::inventory::submit! {{
            ::homing_test_support::harness::Case {{
                name: ::core::concat!(::core::module_path!(), \"::{name}\"),
                ignored: {ignored},
                run: {run},
            }}
        }}"
    );
    let case: TokenStream = case.parse().unwrap_or_else(|_| compile_error("this is no test"));
    function.into_iter().chain(case).collect()
}

/// Takes `#[ignore = "reason"]` away, which the compiler would call unused, and returns whether it was there.
fn take_ignore(function: &mut Vec<TokenTree>) -> bool {
    let is_ignore = |token: &TokenTree| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
            matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(it)) if it.to_string() == "ignore")
        }
        _ => false,
    };
    let Some(at) = function.iter().position(is_ignore).filter(|at| *at > 0) else { return false };
    function.drain(at - 1..=at);
    true
}

fn compile_error(message: &str) -> TokenStream {
    format!("::core::compile_error!({message:?});").parse().unwrap_or_default()
}
