// A box on every page that leads from an id, or a part of a URL, to what it names. `/` and Ctrl-K lead to the box.
import { useEffect, useRef } from 'preact/hooks';
import { navigate } from '../router.ts';
import { placeOf } from './look-up-place.ts';

export function LookUp() {
  const box = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const focus = (event: KeyboardEvent) => {
      const isCombined = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k';
      if (!isCombined && (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)))
        return;
      event.preventDefault();
      box.current?.select();
      box.current?.focus();
    };
    document.addEventListener('keydown', focus);
    return () => document.removeEventListener('keydown', focus);
  }, []);
  const submit = (event: Event) => {
    event.preventDefault();
    const place = placeOf(box.current?.value ?? '');
    if (place === null) return;
    if (box.current !== null) box.current.value = '';
    box.current?.blur();
    navigate(place);
  };
  return (
    <form class="look-up" role="search" onSubmit={submit}>
      <input
        ref={box}
        type="search"
        aria-label="Look up"
        aria-keyshortcuts="/ Control+K"
        placeholder="Look up an id or URL"
        spellcheck={false}
        autocomplete="off"
      />
      <kbd aria-hidden="true">/</kbd>
    </form>
  );
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName))
  );
}
