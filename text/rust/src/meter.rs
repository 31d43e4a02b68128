//! What one rendering may take beside the engine's own fuel, and whether anybody still waits for it. The engine counts
//! what it makes itself and knows no clock; this counts what its values really weigh. One rendering has one thread
//! (`template.rs`), and its meter belongs to that thread.

use crate::allocator;
use crate::ffi::{Code, Failure, WorkLimit};
use indexmap::IndexMap;
use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use std::cell::RefCell;
use std::collections::HashMap;

/// A unit of fuel pays for that much data.
pub const UNIT_BYTES: u64 = 64;
/// Some milliseconds of work in units: so often the limit is looked at.
const LOOK_UNITS: u64 = 4096;
/// Lists of lists of lists: freeing one recurses.
const MAX_DEPTH: u32 = 25_000;
/// Shorter lists are weighed anew each time.
const KEPT_ITEMS: usize = 8;

#[derive(Clone, Copy)]
pub struct Bounds {
    pub limit: WorkLimit,
    pub memory_bytes: u64,
    pub cpu_ms: u64,
}

/// How much a value is when it is written out: what a list holds twice counts twice.
#[derive(Clone, Copy)]
struct Weight {
    units: u64,
    depth: u32,
    /// It holds a namespace, whose content can change.
    open: bool,
}

struct Meter {
    bounds: Bounds,
    memory_before: i64,
    cpu_before_ms: u64,
    since_look: u64,
    /// By address; the value beside it keeps the address its own.
    kept: HashMap<usize, (Value, Weight)>,
    failure: Option<Failure>,
}

thread_local! {
    static METER: RefCell<Option<Meter>> = const { RefCell::new(None) };
}

/// Runs `body` with a meter; what the meter ended it for comes first.
pub fn metered<T>(bounds: Bounds, body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let meter = Meter {
        bounds,
        memory_before: allocator::live_bytes(),
        cpu_before_ms: cpu_ms(),
        since_look: 0,
        kept: HashMap::new(),
        failure: None,
    };
    METER.with(|place| *place.borrow_mut() = Some(meter));
    let result = body();
    match METER.with(|place| place.borrow_mut().take()).and_then(|meter| meter.failure) {
        Some(failure) => Err(failure),
        None => result,
    }
}

fn cpu_ms() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

impl Meter {
    fn look(&mut self) -> Result<(), Failure> {
        self.since_look = 0;
        self.bounds.limit.check()?;
        let exhausted = |what: String| Failure::new(Code::ResourceExhausted, format!("chat template: {what}"));
        let memory = allocator::live_bytes() - self.memory_before;
        if memory > self.bounds.memory_bytes as i64 {
            return Err(exhausted(format!("more memory than the limit of {} bytes", self.bounds.memory_bytes)));
        }
        if cpu_ms() - self.cpu_before_ms > self.bounds.cpu_ms {
            return Err(exhausted(format!("more time than the limit of {} ms of a CPU", self.bounds.cpu_ms)));
        }
        Ok(())
    }
}

/// Says that `units` of work follow. Fails when the rendering is to end.
pub fn tick(units: u64) -> Result<(), Error> {
    METER.with(|place| {
        let mut place = place.borrow_mut();
        let Some(meter) = place.as_mut() else { return Ok(()) };
        if meter.failure.is_none() {
            meter.since_look = meter.since_look.saturating_add(units);
            if meter.since_look < LOOK_UNITS {
                return Ok(());
            }
            match meter.look() {
                Ok(()) => return Ok(()),
                Err(failure) => meter.failure = Some(failure),
            }
        }
        Err(Error::new(ErrorKind::InvalidOperation, "the rendering was ended"))
    })
}

/// Takes fuel for work that the engine is about to do without counting it.
pub fn charge(state: &State, units: u64) -> Result<(), Error> {
    state.consume_fuel(units)?;
    tick(units)
}

/// Takes fuel for a value as it is when it is written out.
pub fn charge_weight(state: &State, value: &Value) -> Result<u64, Error> {
    // What is no container is charged by the engine, or costs nothing to speak of.
    if value.as_object().is_none() {
        return Ok(flat_units(value));
    }
    let units = weigh(state, value, 0)?.units;
    charge(state, units)?;
    Ok(units)
}

/// Fails where a value may not be stored in a namespace: nested too deeply, or one that another namespace is part of,
/// so that it could become a part of itself.
pub fn check_kept(state: &State, value: &Value) -> Result<(), Error> {
    let weight = weigh(state, value, 0)?;
    if weight.open {
        return Err(Error::new(ErrorKind::InvalidOperation, "a namespace cannot hold a namespace"));
    }
    if weight.depth > MAX_DEPTH {
        return Err(too_deep());
    }
    Ok(())
}

fn too_deep() -> Error {
    let what = format!("chat template: a value is nested deeper than the limit of {MAX_DEPTH}");
    end(Failure::new(Code::ResourceExhausted, what))
}

/// Keeps the failure beside the error that carries it through the engine.
fn end(failure: Failure) -> Error {
    METER.with(|place| place.borrow_mut().as_mut().map(|meter| meter.failure.get_or_insert(failure).code));
    Error::new(ErrorKind::InvalidOperation, "the rendering was ended")
}

fn flat_units(value: &Value) -> u64 {
    1 + value.as_str().map_or_else(|| value.as_bytes().map_or(0, <[u8]>::len), str::len) as u64 / UNIT_BYTES
}

/// Where the items lie, of the kinds that never change.
fn address(value: &Value) -> Option<usize> {
    let list = value.downcast_object_ref::<Vec<Value>>().map(|list| (list as *const Vec<Value>) as usize);
    let tuple = || value.downcast_object_ref::<Tuple>().map(|tuple| (tuple as *const Tuple) as usize);
    let map = || value.downcast_object_ref::<IndexMap<Value, Value>>().map(|map| std::ptr::from_ref(map) as usize);
    list.or_else(tuple).or_else(map)
}

fn known(address: usize) -> Option<Weight> {
    METER.with(|place| place.borrow().as_ref().and_then(|meter| meter.kept.get(&address).map(|kept| kept.1)))
}

fn weigh(state: &State, value: &Value, above: u32) -> Result<Weight, Error> {
    let flat = Weight { units: flat_units(value), depth: 0, open: false };
    let kind = value.kind();
    if value.as_object().is_none() || !matches!(kind, ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
        return Ok(flat);
    }
    let address = address(value);
    if let Some(weight) = address.and_then(known) {
        return Ok(weight);
    }
    if above > 2 * MAX_DEPTH {
        return Err(too_deep());
    }
    let mut sum = Weight { units: 1, depth: 1, open: address.is_none() && kind == ValueKind::Map };
    let mut items = 0;
    let mut add = |item: &Value| -> Result<(), Error> {
        let weight = weigh(state, item, above + 1)?;
        sum.units = sum.units.saturating_add(weight.units);
        sum.depth = sum.depth.max(weight.depth.saturating_add(1));
        sum.open |= weight.open;
        items += 1;
        Ok(())
    };
    for key in value.try_iter()?.checked() {
        let key = key?;
        if kind == ValueKind::Map {
            add(&value.get_item(&key)?)?;
        }
        add(&key)?;
    }
    charge(state, items as u64 / 4)?;
    if let Some(address) = address.filter(|_| !sum.open && (items >= KEPT_ITEMS || sum.depth > 1)) {
        state.consume_fuel(2)?;
        METER.with(|place| place.borrow_mut().as_mut().map(|meter| meter.kept.insert(address, (value.clone(), sum))));
    }
    Ok(sum)
}
