import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

import { describe, expect, it } from 'vitest'

/** The folders of core in the order of the steps of a purchase: each may import from those before it. */
const STEPS = ['user', 'sale', 'gate', 'stock', 'reservation', 'order']
const PROCESSES = ['api', 'order-worker', 'stock-warmer']

const packagesFolder = fileURLToPath(new URL('../../', import.meta.url))
const coreSource = join(packagesFolder, 'core', 'src')

function importsIn(folder: string): { file: string; specifier: string }[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .flatMap((file) => {
      const text = readFileSync(join(folder, file), 'utf8')
      return [...text.matchAll(/(?:from|import)\s*\(?'([^']+)'/g)].map((match) => ({
        file: join(folder, file),
        specifier: match[1] as string,
      }))
    })
}

const stepOf = (path: string): string => relative(coreSource, path).split(sep)[0] ?? ''

describe('imports', () => {
  it('follow the steps of a purchase: a folder of core imports only from earlier ones', () => {
    const wrong = importsIn(coreSource)
      .filter(({ specifier }) => specifier.startsWith('.'))
      .map(({ file, specifier }) => ({
        file,
        from: stepOf(file),
        to: stepOf(join(dirname(file), specifier)),
      }))
      .filter(({ from, to }) => STEPS.includes(to) && STEPS.indexOf(to) > STEPS.indexOf(from))
    expect(wrong).toEqual([])
  })

  it.each(PROCESSES)('of %s never reach into another process', (name) => {
    const others = PROCESSES.filter((other) => other !== name)
    const wrong = importsIn(join(packagesFolder, name, 'src')).filter(
      ({ file, specifier }) =>
        others.some((other) => specifier.startsWith(`@blitzbuy/${other}`)) ||
        (specifier.startsWith('.') &&
          relative(join(packagesFolder, name), join(dirname(file), specifier)).startsWith('..')),
    )
    expect(wrong).toEqual([])
  })

  it('of core know no HTTP framework, and name a file, never the package', () => {
    const all = [coreSource, ...PROCESSES.map((name) => join(packagesFolder, name, 'src'))].flatMap(importsIn)
    expect(
      all.filter(({ file, specifier }) => file.startsWith(coreSource) && /fastify/.test(specifier)),
    ).toEqual([])
    expect(all.filter(({ specifier }) => specifier === '@blitzbuy/core')).toEqual([])
  })
})
