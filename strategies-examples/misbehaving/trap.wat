;; Panics on a quote, as Rust's `panic!` and C's `abort` do: ends in the fault `trap`.
(module
  (memory (export "memory") 1)

  (func $quote (export "pinion:strategy/handler@0.1.0#on-quote")
    (param i64 i32 i32 i64 i64 i64 i64 i64 i64 i64 i32 i32)
    unreachable)

  ;; on-init returns ok (0) with the callbacks it wants: quote (bit 0); and no bars. The result lies at address 16.
  (func (export "pinion:strategy/handler@0.1.0#on-init") (param i32 i32 i32 i32) (result i32)
    (i32.store8 (i32.const 16) (i32.const 0))
    (i32.store16 (i32.const 20) (i32.const 1))
    (i32.const 16))

  ;; Room for on-init's arguments. They are not read, so all of them may lie at the same place.
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (i32.const 1024))

  ;; The rest of the contract; not wanted, never called.
  (func (export "pinion:strategy/handler@0.1.0#on-start"))
  (func (export "pinion:strategy/handler@0.1.0#on-trade") (param i64 i32 i32 i64 i64 i64 i64 i64 i64 i32))
  (func (export "pinion:strategy/handler@0.1.0#on-book-delta") (param i64 i32 i32 i64 i64 i64 i64 i64 i32 i32 i32))
  (func (export "pinion:strategy/handler@0.1.0#on-book") (param i64 i32 i32 i64 i64 i64 i64 i64 i64 i64 i32 i32))
  (func (export "pinion:strategy/handler@0.1.0#on-gap") (param i64 i32 i64 i64 i64 i64))
  (func (export "pinion:strategy/handler@0.1.0#on-recovered") (param i64 i64))
  (func (export "pinion:strategy/handler@0.1.0#on-status") (param i64 i32 i32 i64 i64 i64 i32))
  (func (export "pinion:strategy/handler@0.1.0#on-bar") (param i64 i32 i32 i32 i32 i64 i64 i64 i64 i64 i64 i64 i64 i64))
  (func (export "pinion:strategy/handler@0.1.0#on-timer") (param i64 i64))
  (func (export "pinion:strategy/handler@0.1.0#on-order") (param i64 i64 i64 i64 i64 i32 i32 i64 i64 i64))
  (func (export "pinion:strategy/handler@0.1.0#on-fill") (param i64 i64 i64 i64 i64 i32 i64 i64 i64 i64 i32))
  (func (export "pinion:strategy/handler@0.1.0#on-position") (param i64 i64 i64 i64 i64 i64 i64 i64))
  (func (export "pinion:strategy/handler@0.1.0#on-trading-state") (param i32))
  (func (export "pinion:strategy/handler@0.1.0#on-save") (result i32) (i32.const 32))
  (func (export "pinion:strategy/handler@0.1.0#on-load") (param i32 i32 i32) (result i32) (i32.const 48))
  (func (export "pinion:strategy/handler@0.1.0#on-stop"))
)
