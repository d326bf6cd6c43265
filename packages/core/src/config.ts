import { envSchema, type EnvSchemaOpt } from 'env-schema'
import { Type, type Static, type TObject } from 'typebox'

import { CRASH_POINT_PATTERN, CRASH_POINTS } from './crash-point.ts'
import { defaultCredentials } from './default-credentials.ts'
import { ConfigInvalid } from './errors.ts'
import { isNetworkList } from './ip-address.ts'

/** Settings that every process needs. Each `description` is what a person reads when the value is wrong. */
export const SharedConfig = Type.Object({
  NODE_ENV: Type.Enum(['development', 'test', 'production'], {
    default: 'production',
    description: 'development, test or production',
  }),
  LOG_LEVEL: Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace'], {
    default: 'info',
    description: 'fatal, error, warn, info, debug or trace',
  }),
  MYSQL_URL: Type.String({
    pattern: '^mysql://[^/]+/[^/?]+',
    description: 'mysql://user:password@host:3306/database',
  }),
  REDIS_URL: Type.String({
    pattern: '^rediss?://.+',
    description: 'redis://:password@host:6379/0',
  }),
  AMQP_URL: Type.String({
    pattern: '^amqps?://.+',
    description: 'amqp://user:password@host:5672/vhost',
  }),
  AMQP_TOPOLOGY: Type.Enum(['declare', 'given'], {
    default: 'declare',
    description: 'declare (the default: each process makes exchanges and queues that are missing) or given',
  }),
  NAMESPACE: Type.String({
    pattern: '^[a-z][a-z0-9-]{0,31}$',
    default: 'blitzbuy',
    description: 'lower-case letters, digits and dashes; the prefix of every Redis key and RabbitMQ name',
  }),
  HEALTH_PORT: Type.Integer({
    minimum: 0,
    maximum: 65_535,
    description: 'a port from 1 to 65535 (0: any free one) for /livez, /readyz and /metrics of this process',
  }),
})

/** What was built into this release; the image sets it. */
export const BuildConfig = Type.Object({
  COMMIT: Type.String({
    pattern: '^[0-9a-f]{7,40}$|^unknown$',
    default: 'unknown',
    description: 'the commit that this release was built from, 7 to 40 hexadecimal digits',
  }),
  CRASH_AT: crashPointSetting('dies'),
  STOP_AT: crashPointSetting('stops until a SIGCONT'),
})

/** For fault tests: see crash-point.ts. */
function crashPointSetting(what: string) {
  return Type.Optional(
    Type.String({
      pattern: CRASH_POINT_PATTERN,
      description: `where this process ${what}, for fault tests: one of ${CRASH_POINTS.join(', ')}; with :3 the third time`,
    }),
  )
}

/** Where the health server of a process listens; reachable for the orchestrator, not for shoppers. */
export const HealthConfig = Type.Object({
  NODE_APP_INSTANCE: Type.Integer({
    minimum: 0,
    maximum: 999,
    default: 0,
    description: 'the number of this instance, from 0 to 999; PM2 sets it',
  }),
  HEALTH_HOST: Type.String({
    default: '127.0.0.1',
    minLength: 1,
    description: 'the address the health server listens on',
  }),
})

/** Where traces go; none are made without a collector. The names are those of OpenTelemetry. */
export const TracingConfig = Type.Object({
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(
    Type.String({
      pattern: '^https?://[^\\s/?#@]+(/[^\\s?#]*)?$',
      description:
        'http://host:4318 of a collector that takes OTLP over HTTP (/v1/traces is added), without a user or a query',
    }),
  ),
  OTEL_TRACES_SAMPLER_ARG: Type.Number({
    minimum: 0,
    maximum: 1,
    default: 1,
    description: 'how much of all traces is kept, from 0 to 1; 0.01 is one in a hundred',
  }),
})

/** The broker that a process works with. */
export function brokerOf(config: {
  AMQP_URL: string
  NAMESPACE: string
  AMQP_TOPOLOGY: 'declare' | 'given'
}) {
  return {
    url: config.AMQP_URL,
    namespace: config.NAMESPACE,
    isTopologyGiven: config.AMQP_TOPOLOGY === 'given',
  }
}

/** Instances of one role share their environment: each counts its health port on from HEALTH_PORT. */
export function healthAddress(config: {
  HEALTH_HOST: string
  HEALTH_PORT: number
  NODE_APP_INSTANCE: number
}): { host: string; port: number } {
  const { HEALTH_HOST: host, HEALTH_PORT, NODE_APP_INSTANCE } = config
  // 0 stays "any free one".
  return { host, port: HEALTH_PORT === 0 ? 0 : HEALTH_PORT + NODE_APP_INSTANCE }
}

/** How long who cancelled waits before buying again in that sale; the same for api and order-worker. */
export const CooldownConfig = Type.Object({
  CANCEL_COOLDOWN_SECONDS: Type.Integer({
    minimum: 0,
    maximum: 86_400,
    default: 30,
    description: 'seconds (0 to 86400) from a cancelled order to the next purchase in the same sale',
  }),
})

/** A comma-separated list of secrets: the first one signs, all of them verify, so that they can be rotated. */
export const Secrets = Type.String({
  pattern: '^[^,\\s]{32,}(,[^,\\s]{32,})*$',
  description:
    'one or more secrets of at least 32 characters, separated by commas; the first one signs, all verify',
})

/**
 * The proxies whose X-Forwarded-For is believed. A list, never "all" or a number of hops: whoever is not listed could
 * write any address there, and so get a limit of their own with every request.
 */
export const TrustedProxies = Type.Optional(
  Type.String({
    format: 'network-list',
    description:
      'addresses or CIDR ranges, separated by commas, e.g. 10.0.0.5,fd00::/64; no range of everybody',
  }),
)

/** A limit, as `readLimit` of core/gate/limits reads it. */
export const limitSetting = (value: string) =>
  Type.String({
    pattern: '^[1-9]\\d{0,8}/[1-9]\\d{0,6}$',
    default: value,
    description: 'requests/seconds, e.g. 300/60',
  })

/** A rule of the blacklist, as `readStrikeRules` of core/gate/strikes reads it. */
const ruleSetting = (value: string) =>
  Type.String({
    pattern: '^(off|[1-9]\\d{0,8}(/[1-9]\\d{0,8}){2})$',
    default: value,
    description: 'strikes/seconds in which they count/seconds on the blacklist, e.g. 10/600/3600, or off',
  })

/** When a rule puts somebody on the blacklist. The address rule is mild: many people may stand behind one address. */
export const RulesConfig = Type.Object({
  RULE_CAPTCHA_WRONG: ruleSetting('20/600/900'),
  RULE_TOKEN_MISUSE: ruleSetting('10/600/3600'),
  RULE_LIMIT_BREACH: ruleSetting('10/600/3600'),
  RULE_LIMIT_BREACH_ADDRESS: ruleSetting('60/3600/900'),
  RULE_ORDER_UNPAID: ruleSetting('3/86400/86400'),
})
export type RulesConfig = Readonly<Static<typeof RulesConfig>>

interface SchemaProblem {
  instancePath: string
  keyword: string
  params: { missingProperty?: string }
}

const AJV: NonNullable<EnvSchemaOpt['ajv']> = {
  customOptions: (ajv) => ajv.addFormat('network-list', isNetworkList),
}

/** What no schema of a single variable can say: the problems of a configuration, each naming its variable first. */
export type CheckConfig<Schema extends TObject> = (config: Readonly<Partial<Static<Schema>>>) => string[]

/**
 * Reads and checks the environment once, at start.
 *
 * @param checkMore gets what is well-formed, also when something else is not: all problems are told at once.
 * @throws ConfigInvalid naming every variable that is missing or malformed, and what it should be.
 */
export function loadConfig<Schema extends TObject>(
  schema: Schema,
  env: NodeJS.ProcessEnv = process.env,
  checkMore: CheckConfig<Schema> = () => [],
): Readonly<Static<Schema>> {
  // An empty variable is an unset one: that is what `NAME=` in an env file means to the person who wrote it.
  const data = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''))
  const { config, malformed } = readEnvironment(schema, data)
  const problems = [
    ...malformed.values(),
    ...(config['NODE_ENV'] === 'production' ? problemsInProduction(config) : []),
    ...checkMore(config as Partial<Static<Schema>>),
  ]
  if (problems.length > 0) throw new ConfigInvalid(problems)
  return Object.freeze(config as Static<Schema>)
}

/** What is well-formed, and by name what is not. */
function readEnvironment(
  schema: TObject,
  data: NodeJS.ProcessEnv,
): { config: Record<string, unknown>; malformed: Map<string, string> } {
  try {
    return { config: envSchema({ schema, data, dotenv: false, ajv: AJV }), malformed: new Map() }
  } catch (error) {
    const { errors } = error as { errors?: SchemaProblem[] }
    if (!errors) throw error
    const malformed = new Map(errors.map((problem) => [nameOf(problem), describe(schema, problem)]))
    // Without what is wrong the rest is read as it would be in a good configuration.
    const properties = Object.fromEntries(
      Object.entries(schema.properties).filter(([name]) => !malformed.has(name)),
    )
    const rest = readEnvironment(Type.Object(properties), data)
    return { config: rest.config, malformed }
  }
}

function problemsInProduction(config: Readonly<Record<string, unknown>>): string[] {
  const wellKnown = defaultCredentials(config)
  const armed = ['CRASH_AT', 'STOP_AT'].filter((name) => config[name] !== undefined)
  return [
    ...wellKnown.map((name) => `${name} is a well-known default; choose one of your own`),
    ...armed.map((name) => `${name} is for fault tests and refused with NODE_ENV=production; take it out`),
  ]
}

/** The elements of a comma-separated list. */
export function listOf(value: string): string[] {
  return value.split(',')
}

function describe(schema: TObject, problem: SchemaProblem): string {
  const name = nameOf(problem)
  const property = schema.properties[name] as { description?: string } | undefined
  const expected = property?.description ? `; expected ${property.description}` : ''
  return `${name} ${problem.keyword === 'required' ? 'is missing' : 'is malformed'}${expected}`
}

function nameOf({ params, instancePath }: SchemaProblem): string {
  return params.missingProperty ?? instancePath.slice(1)
}
