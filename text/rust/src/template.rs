//! Chat templates: compiled once, rendered as transformers' `apply_chat_template` renders them.

use crate::ffi::{
    free_handle, give, guard, handle_from, on_large_stack, text_from, Buffer, Code, Failure, Outcome, WorkLimit,
};
use crate::folding::folds_repeated_list;
use crate::generation::{normalize_newlines, replace_generation_tags};
use crate::meter::{self, charge_weight, metered};
use crate::parts::walks_over_content;
use crate::{guards, print, python, rewrite};
use crate::strftime::{self, Now};
use crate::tojson::tojson;
use crate::value::{kind_of, parse, to_value};
use minijinja::machinery::{self, CodeGenerator, Instructions};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Rest, ValueOrKwargs};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, Value};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::sync::Arc;

const NAME: &str = "chat_template";
/// The name of the date in the context; not an identifier, so no template can read or shadow it.
const NOW: &str = " now";
/// The largest known template has 30 KB. Compiling takes a time that grows with the square of one expression's length.
const MAX_SOURCE_BYTES: usize = 128 << 10;
/// The engine compiles, compares, prints and frees by recursion. How deep is bounded by the size of the source and by
/// `meter.rs`, but deeper than an ordinary thread's stack allows; these sizes were measured (tests/text/hostile_template).
const COMPILE_STACK_BYTES: usize = 1 << 30;
const RENDER_STACK_BYTES: usize = 256 << 20;
/// What `render` itself passes; the extra variables may not replace it.
const OWN_NAMES: [&str; 5] = ["messages", "tools", "documents", "add_generation_prompt", NOW];
/// Other names under which a message's reasoning arrives; the first is what templates read.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

pub struct Template {
    env: Environment<'static>,
    /// They point into `source`, which lives as long; so they are dropped first.
    instructions: Instructions<'static>,
    #[allow(dead_code)]
    source: Arc<str>,
    limits: Limits,
    takes_parts: bool,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Limits {
    /// One unit pays for an instruction or for 64 bytes of data, so it bounds time and memory.
    fuel: u64,
    max_output_bytes: u64,
    /// What is alive at any time of a rendering, values and output.
    max_memory_bytes: u64,
    max_cpu_ms: u64,
}

/// What `raise_exception` in a template throws.
#[derive(Debug)]
struct Raised(String);

impl std::fmt::Display for Raised {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

fn raise_exception(state: &State, message: Value) -> Result<Value, Error> {
    charge_weight(state, &message)?;
    let raised = Raised(message.to_string());
    Err(Error::new(ErrorKind::InvalidOperation, raised.0.clone()).with_source(raised))
}

fn strftime_now(state: &State, format: &str) -> Result<String, Error> {
    let parts: Vec<i32> = match state.lookup(NOW) {
        Some(now) => now.try_iter()?.filter_map(|part| i32::try_from(part).ok()).collect(),
        None => Vec::new(),
    };
    let parts = <[i32; 6]>::try_from(parts)
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, "strftime_now: no date was given"))?;
    strftime::format(Now(parts), format)
}

fn environment(limits: Limits) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_fuel(Some(limits.fuel));
    env.add_filter("tojson", |state: &State, value: &Value, args: Rest<ValueOrKwargs>| {
        tojson(state, value, &args.into_values())
    });
    env.add_filter("string", print::string);
    env.set_formatter(print::formatter);
    env.add_function("raise_exception", raise_exception);
    env.add_function("strftime_now", strftime_now);
    python::install(&mut env);
    // Prints all that there is, at no cost; Python's templates lack it.
    env.remove_global("debug");
    guards::install(&mut env);
    env
}

impl Template {
    pub fn compile(source: &str, limits: Limits) -> Outcome<Template> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(Failure::new(
                Code::ResourceExhausted,
                format!("chat template: {} bytes, more than the limit of {MAX_SOURCE_BYTES}", source.len()),
            ));
        }
        on_large_stack(COMPILE_STACK_BYTES, || {
            let source: Arc<str> = replace_generation_tags(&normalize_newlines(source)).into();
            // SAFETY: `source` is never changed, and the template drops what points into it before it drops `source`.
            let text: &'static str = unsafe { std::mem::transmute::<&str, &'static str>(&source) };
            let tree = machinery::parse(text, NAME, syntax()?)
                .map_err(|error| Failure::invalid(format!("chat template: cannot compile: {}", describe(&error))))?;
            if folds_repeated_list(&tree) {
                let what = "chat template: cannot compile: a constant list that * repeats is compared or written out";
                return Err(Failure::invalid(what));
            }
            let mut generator = CodeGenerator::new(NAME, text);
            generator.compile_stmt(&tree);
            let instructions = rewrite::guard(&generator.finish().0);
            let takes_parts = walks_over_content(&tree);
            Ok(Template { env: environment(limits), instructions, source, limits, takes_parts })
        })
    }

    fn render(&self, context: Value) -> Outcome<String> {
        let mut text = String::new();
        let mut output = machinery::make_string_output(&mut text);
        let blocks = BTreeMap::new();
        machinery::eval(&self.env, &self.instructions, context, &blocks, &mut output, AutoEscape::None)
            .map(drop)
            .map_err(|error| self.failure(&error))?;
        if text.len() as u64 > self.limits.max_output_bytes {
            let limit = self.limits.max_output_bytes;
            return Err(Failure::new(
                Code::ResourceExhausted,
                format!("chat template: the rendered text has more than the limit of {limit} bytes"),
            ));
        }
        Ok(text)
    }

    fn failure(&self, error: &Error) -> Failure {
        if let Some(raised) = raised_in(error) {
            return Failure::invalid(format!("the chat template refuses these messages: {}", raised.0));
        }
        if is_out_of_fuel(error) {
            return Failure::new(
                Code::ResourceExhausted,
                format!("chat template: more work than the limit of {} units", self.env.fuel().unwrap_or(0)),
            );
        }
        Failure::invalid(format!("chat template: cannot render these messages: {}", describe(error)))
    }
}

fn syntax() -> Outcome<SyntaxConfig> {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .map_err(|error| Failure::new(Code::Internal, error.to_string()))
}

fn chain<'a>(error: &'a Error) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    let first: &'a (dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source())
}

fn raised_in(error: &Error) -> Option<&Raised> {
    chain(error).find_map(|error| error.downcast_ref::<Raised>())
}

fn is_out_of_fuel(error: &Error) -> bool {
    chain(error).filter_map(|error| error.downcast_ref::<Error>()).any(|error| error.kind() == ErrorKind::OutOfFuel)
}

fn describe(error: &Error) -> String {
    chain(error).map(|error| error.to_string()).collect::<Vec<_>>().join(": ")
}

/// As transformers does: the reasoning of a message is readable under the standard name and under `thinking`.
fn alias_reasoning(message: Map<String, Json>) -> Map<String, Json> {
    let given = REASONING.iter().find_map(|name| message.get(*name).filter(|value| !value.is_null()).cloned());
    let Some(reasoning) = given else { return message };
    let mut aliased = Map::new();
    aliased.insert("thinking".to_owned(), reasoning.clone());
    aliased.extend(message);
    aliased.insert("reasoning_content".to_owned(), reasoning);
    aliased
}

fn messages_from(text: &str) -> Outcome<Json> {
    let messages = match parse(text, "messages")? {
        Json::Array(messages) => messages,
        other => return Err(Failure::invalid(format!("messages: expected an array, found {}", kind_of(&other)))),
    };
    let one = |(i, message): (usize, Json)| match message {
        Json::Object(message) => Ok(Json::Object(alias_reasoning(message))),
        other => Err(Failure::invalid(format!("messages[{i}]: expected an object, found {}", kind_of(&other)))),
    };
    Ok(Json::Array(messages.into_iter().enumerate().map(one).collect::<Outcome<Vec<Json>>>()?))
}

fn tools_from(text: &str) -> Outcome<Json> {
    if text.is_empty() {
        return Ok(Json::Null);
    }
    let tools = parse(text, "tools")?;
    match &tools {
        Json::Null => Ok(tools),
        Json::Array(items) => match items.iter().position(|item| !item.is_object()) {
            None => Ok(tools),
            Some(i) => Err(Failure::invalid(format!("tools[{i}]: expected an object, found {}", kind_of(&items[i])))),
        },
        other => Err(Failure::invalid(format!("tools: expected an array or null, found {}", kind_of(other)))),
    }
}

fn variables_from(text: &str) -> Outcome<Map<String, Json>> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    let variables = match parse(text, "template variables")? {
        Json::Object(variables) => variables,
        other => {
            return Err(Failure::invalid(format!("template variables: expected an object, found {}", kind_of(&other))))
        }
    };
    match variables.keys().find(|name| OWN_NAMES.contains(&name.as_str())) {
        None => Ok(variables),
        Some(name) => Err(Failure::invalid(format!("template variables: {name:?} is set by the server itself"))),
    }
}

#[repr(C)]
pub struct RenderArgs {
    messages: *const u8,
    messages_size: usize,
    tools: *const u8,
    tools_size: usize,
    variables: *const u8,
    variables_size: usize,
    now: [i32; 6],
    add_generation_prompt: bool,
    limit: WorkLimit,
}

// SAFETY: the texts are only read, and `limit` may be used from any thread.
unsafe impl Sync for RenderArgs {}

/// # Safety
/// The pointers have the sizes beside them.
unsafe fn context_from(args: &RenderArgs) -> Outcome<Value> {
    let mut context = variables_from(text_from(args.variables, args.variables_size, "template variables")?)?;
    let messages = messages_from(text_from(args.messages, args.messages_size, "messages")?)?;
    context.insert("messages".to_owned(), messages);
    context.insert("tools".to_owned(), tools_from(text_from(args.tools, args.tools_size, "tools")?)?);
    context.insert("documents".to_owned(), Json::Null);
    context.insert("add_generation_prompt".to_owned(), Json::Bool(args.add_generation_prompt));
    context.insert(NOW.to_owned(), Json::from(args.now.to_vec()));
    Ok(to_value(Json::Object(context)))
}

/// # Safety
/// `source` has `size` bytes; `out` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn gh_template_compile(
    source: *const u8,
    size: usize,
    limits: Limits,
    out: *mut *mut Template,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let source = text_from(source, size, "chat template")?;
        give(out, Box::into_raw(Box::new(Template::compile(source, limits)?)), "template")
    })
}

/// # Safety
/// `template` is null or a live handle, and not used again.
#[no_mangle]
pub unsafe extern "C" fn gh_template_free(template: *mut Template) {
    free_handle(template);
}

/// # Safety
/// `template` is a live handle.
#[no_mangle]
pub unsafe extern "C" fn gh_template_takes_parts(template: *const Template) -> bool {
    (*template).takes_parts
}

/// # Safety
/// `template` is a live handle; the pointers of `args` have the sizes beside them; `out` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn gh_template_render(
    template: *const Template,
    args: *const RenderArgs,
    out: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let template = handle_from(template, "template")?;
        let args = handle_from(args, "arguments")?;
        let bounds = meter::Bounds {
            limit: args.limit,
            memory_bytes: template.limits.max_memory_bytes,
            cpu_ms: template.limits.max_cpu_ms,
        };
        // All values live and die on the large stack.
        let text = on_large_stack(RENDER_STACK_BYTES, || {
            // SAFETY: as of this function, which waits for the thread.
            metered(bounds, || template.render(unsafe { context_from(args) }?))
        })?;
        give(out, Buffer::from_bytes(text.into_bytes()), "text")
    })
}
