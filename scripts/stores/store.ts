export type StoreName = 'mysql' | 'redis' | 'rabbitmq'

export const storeNames: readonly StoreName[] = ['mysql', 'redis', 'rabbitmq']

/** One running store. Killing it and starting it again keeps its data and its address. */
export interface Store {
  readonly url: string
  /** Undefined for a store that was given by its URL, and for one in Docker. */
  readonly pid: number | undefined
  /** Sends a signal; after SIGKILL or SIGTERM resolves when the process is gone. */
  kill(signal: NodeJS.Signals): Promise<void>
  /** Starts it again on the same data and port; resolves when it answers. */
  start(): Promise<void>
  isAlive(): boolean
}

export interface Stores {
  readonly origin: 'environment' | 'local' | 'docker'
  readonly mysqlUrl: string
  readonly redisUrl: string
  readonly amqpUrl: string
  readonly mysql: Store
  readonly redis: Store
  readonly rabbitmq: Store
  /** Ends what was started here; a store given by its URL is left alone. */
  stop(): Promise<void>
}

/** A store somebody else runs: its address is all we know. */
export function givenStore(name: StoreName, url: string): Store {
  const refuse = (): Promise<never> =>
    Promise.reject(
      new Error(`${name} was given by its URL; only a store started here can be killed or started`),
    )
  return { url, pid: undefined, kill: refuse, start: refuse, isAlive: () => true }
}
