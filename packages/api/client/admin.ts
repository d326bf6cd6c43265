import { watchSale } from './live-sale.ts'

const figures = document.querySelector<HTMLElement>('[data-live]')
if (figures) watchSale(figures)
