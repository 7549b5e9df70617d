// The address bar is the state: which page, and its filters. Every in-page move is an ordinary link that is followed without loading.
import { computed, signal } from '@preact/signals';

interface Address {
  readonly path: string;
  readonly query: string;
}

export const address = signal<Address>(current());

/** The filters of the present page. */
export const query = computed(() => new URLSearchParams(address.value.query));

/** Asked before a page is left on which something was typed; what it is given goes on. Null: nothing is in the way. */
let guard: ((goOn: () => void) => void) | null = null;

export function guardLeaving(next: typeof guard): void {
  guard = next;
}

export function navigate(href: string, options: { replace?: boolean } = {}): void {
  if (guard === null) move(href, options);
  else guard(() => move(href, options));
}

function move(href: string, options: { replace?: boolean }): void {
  guard = null;
  if (options.replace === true) history.replaceState(null, '', href);
  else history.pushState(null, '', href);
  address.value = current();
}

/** A link to `path` with the parameters that have a value. */
export function link(path: string, parameters: Record<string, string | undefined> = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined && value !== '') search.set(name, value);
  const text = search.toString();
  return text === '' ? path : `${path}?${text}`;
}

/** The present page's address with some parameters replaced; empty ones are dropped. */
export function withQuery(changes: Record<string, string | undefined>): string {
  return link(address.value.path, { ...Object.fromEntries(query.value), ...changes });
}

export function followLinks(): void {
  addEventListener('popstate', () => {
    const target = current();
    if (guard === null) {
      address.value = target;
      return;
    }
    // The browser has moved already: it is put back where it was while the reader is asked.
    history.pushState(null, '', address.peek().path + address.peek().query);
    guard(() => move(target.path + target.query, {}));
  });
  addEventListener('beforeunload', (event) => {
    if (guard !== null) event.preventDefault();
  });
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
      return;
    const anchor = event.target instanceof Element ? event.target.closest('a') : null;
    if (anchor === null || anchor.origin !== location.origin || anchor.target !== '' || anchor.hasAttribute('download')) return;
    if (anchor.dataset['reload'] !== undefined || anchor.hash !== '') return;
    event.preventDefault();
    navigate(anchor.pathname + anchor.search);
    if (guard === null) scrollTo(0, 0);
  });
}

function current(): Address {
  return { path: location.pathname, query: location.search };
}
