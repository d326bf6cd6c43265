import { chownSync, lchownSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The user a store runs as; undefined means as ourselves. */
export interface ServiceUser {
  uid: number
  gid: number
}

/**
 * As root a store runs as its own service user, so that a fault in it is not a fault of root. Only where that
 * user cannot get to the folder (a clone below a closed home folder) does it stay with root.
 */
export function serviceUserFor(name: string, folder: string): ServiceUser | undefined {
  if (process.getuid?.() !== 0) return undefined
  const user = findUser(name)
  return user && canReach(user, folder) ? user : undefined
}

/** Makes a folder that belongs to the store's user, with all that is in it: an earlier start may have been another's. */
export function makeOwnFolder(folder: string, user: ServiceUser | undefined): void {
  mkdirSync(folder, { recursive: true, mode: 0o750 })
  if (user === undefined || statSync(folder).uid === user.uid) return
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    lchownSync(join(folder, name), user.uid, user.gid)
  }
  giveTo(folder, user)
}

export function giveTo(path: string, user: ServiceUser | undefined): void {
  if (user) chownSync(path, user.uid, user.gid)
}

function findUser(name: string): ServiceUser | undefined {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`))
  const [, , uid, gid] = line?.split(':') ?? []
  return uid && gid ? { uid: Number(uid), gid: Number(gid) } : undefined
}

function canReach({ uid, gid }: ServiceUser, folder: string): boolean {
  for (let path = folder; ; path = join(path, '..')) {
    const { mode, uid: owner, gid: group } = statSync(path)
    const mayEnter = owner === uid ? 0o100 : group === gid ? 0o010 : 0o001
    if ((mode & mayEnter) === 0) return false
    if (path === dirname(path)) return true
  }
}
