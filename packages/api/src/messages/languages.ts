import { en } from './en.ts'
import { createLanguage, type Language } from './language.ts'
import { zhProblems } from './zh-problems.ts'
import { zh } from './zh.ts'

export const english = createLanguage({ tag: 'en', locale: 'en-US', name: 'English', messages: en })
export const chinese = createLanguage({
  tag: 'zh-CN',
  locale: 'zh-CN',
  name: '简体中文',
  messages: zh,
  problems: zhProblems,
})

export const LANGUAGES: readonly Language[] = [english, chinese]

/** The language with this tag, exactly as a page of ours writes it. */
export function findLanguage(tag: unknown): Language | undefined {
  return LANGUAGES.find((language) => language.tag === tag)
}

/** What a browser would like to read: the best of ours by its list, English when there is none. */
export function preferredLanguage(acceptLanguage: string | undefined): Language {
  if (!acceptLanguage) return english
  let best = english
  let bestWeight = 0
  for (const entry of acceptLanguage.split(',')) {
    const [range = '', ...parameters] = entry.split(';')
    const weight = Number(/^\s*q=([\d.]+)\s*$/.exec(parameters.join(';'))?.[1] ?? 1)
    const primary = range.trim().toLowerCase().split('-', 1)[0]
    const language = LANGUAGES.find(({ tag }) => tag.split('-', 1)[0] === primary)
    if (language && weight > bestWeight) {
      best = language
      bestWeight = weight
    }
  }
  return best
}
