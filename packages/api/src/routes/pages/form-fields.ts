const FIELD_LENGTH_MAX = 256

/** A field of a form as text; what is missing, doubled or too long for any field of ours is an empty one. */
export function readField(form: unknown, name: string): string {
  const value = typeof form === 'object' && form !== null ? Reflect.get(form, name) : undefined
  return typeof value === 'string' && value.length <= FIELD_LENGTH_MAX ? value : ''
}
