/*
 * Loaded into a process by a test (NODE_OPTIONS=--import=…): its host's clock is wrong by CLOCK_SHIFT_MS. The machine's
 * own clock stays as it is, and so does the monotonic one: that is how a host with a bad clock looks from inside.
 */
const shiftMs = Number(process.env.CLOCK_SHIFT_MS ?? 0)

globalThis.Date = new Proxy(Date, {
  construct: (Real, args) =>
    args.length === 0 ? new Real(Real.now() + shiftMs) : Reflect.construct(Real, args),
  get: (Real, name) => (name === 'now' ? () => Real.now() + shiftMs : Reflect.get(Real, name)),
})
Object.defineProperty(performance, 'timeOrigin', { value: performance.timeOrigin + shiftMs })
