import { readFileSync } from 'node:fs'

/** The release that this file belongs to; package.json sits beside both src/ and dist/. */
export const RELEASE: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version
