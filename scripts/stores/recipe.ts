import type { ServiceUser } from './service-user.ts'
import type { StoreName } from './store.ts'

/** A program that runs on its own until it is ended. */
export interface Daemon {
  /** Its name in the record of processes. */
  name: string
  command: string
  args: string[]
  env?: Record<string, string>
}

/** How one local store is made and started; the same for all of them, so that one file runs them. */
export interface StoreRecipe {
  name: StoreName
  title: string
  url: string
  folder: string
  user: ServiceUser | undefined
  /** What it says, for the error when it does not come up. */
  logFiles: string[]
  /** Writes its files; data that is there already stays. */
  prepare(runToEnd: (daemon: Daemon) => Promise<void>): Promise<void>
  /** Programs it needs running first; they outlive it and are ended after it. */
  companions: Daemon[]
  daemon: Daemon
  isReady(): Promise<boolean>
}

export interface RecipeContext {
  folder: string
  user: ServiceUser | undefined
  /** A port of this store's own, the same at every start while it is free. */
  port: (purpose: string) => number
  secret: (purpose: string) => string
}
