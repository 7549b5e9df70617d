// Copies a text and says so, to eyes and to screen readers.
import { useEffect, useState } from 'preact/hooks';

const SHOWN_FOR_MS = 2000;

export function CopyButton({
  text,
  label = 'Copy',
  primary = false,
}: {
  text: string | (() => string);
  label?: string;
  primary?: boolean;
}) {
  const [outcome, setOutcome] = useState<'copied' | 'refused' | null>(null);
  useEffect(() => {
    if (outcome === null) return;
    const timer = setTimeout(() => setOutcome(null), SHOWN_FOR_MS);
    return () => clearTimeout(timer);
  }, [outcome]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === 'string' ? text : text());
      setOutcome('copied');
    } catch {
      // Browsers refuse the clipboard outside secure contexts; the text is on screen to be selected.
      setOutcome('refused');
    }
  };
  return (
    <button type="button" class={primary ? 'button primary' : 'button'} onClick={() => void copy()}>
      <span aria-live="polite">
        {outcome === 'copied' ? 'Copied' : outcome === 'refused' ? 'Select and copy by hand' : label}
      </span>
    </button>
  );
}
