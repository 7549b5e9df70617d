// The head of every page: names the page, to the tab and to screen readers, and holds its actions.
import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';

interface PageHeadProps {
  readonly title: string;
  /** In place of the title where it needs more than text. */
  readonly heading?: ComponentChildren;
  readonly lead?: ComponentChildren;
  readonly back?: { readonly href: string; readonly label: string };
  readonly children?: ComponentChildren;
}

let firstPage = true;

export function PageHead({ title, heading, lead, back, children }: PageHeadProps) {
  const element = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · HomeChef Webhooks`;
  }, [title]);
  // Before the page can be seen: later it would take the focus from a reader who has begun to type.
  useLayoutEffect(() => {
    // After a move within the page, reading goes on at the new heading; on the first load the browser decides.
    if (!firstPage) element.current?.focus({ preventScroll: true });
    firstPage = false;
  }, []);
  return (
    <header class="page-head">
      <div class="page-title">
        {back !== undefined && (
          <a class="back" href={back.href}>
            ‹ {back.label}
          </a>
        )}
        <h1 ref={element} tabIndex={-1}>
          {heading ?? title}
        </h1>
        {lead !== undefined && <div class="lead">{lead}</div>}
      </div>
      {children !== undefined && <div class="page-actions">{children}</div>}
    </header>
  );
}
