import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'

/** What must stay the same from one start to the next, readable by its owner alone. */
export interface Settings {
  /** The kept value, or a new random one that is kept from now on. */
  secret(name: string, bytes: number): string
  port(name: string): number | undefined
  setPort(name: string, port: number): void
}

export function createSettings(file: string): Settings {
  const kept = read(file)
  const write = () => {
    writeFileSync(`${file}.new`, JSON.stringify(kept, null, 2), { mode: 0o600 })
    renameSync(`${file}.new`, file)
  }
  return {
    secret(name, bytes) {
      const existing = kept.secrets[name]
      if (existing !== undefined) return existing
      const made = randomBytes(bytes).toString('base64url')
      kept.secrets[name] = made
      write()
      return made
    },
    port: (name) => kept.ports[name],
    setPort(name, port) {
      kept.ports[name] = port
      write()
    },
  }
}

interface Kept {
  secrets: Record<string, string>
  ports: Record<string, number>
}

function read(file: string): Kept {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Kept
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { secrets: {}, ports: {} }
    throw new Error(`${file} cannot be read; --fresh starts anew`, { cause: error })
  }
}
