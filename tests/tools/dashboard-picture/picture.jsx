// The panels of the dashboard, drawn by Grafana's own components (@grafana/ui) with what capture.mjs has
// asked. Colours, units, columns and their order come from the dashboard's JSON through Grafana's own code
// (@grafana/data); the frame around the panels, with its menus and the variables, is Grafana's and not here.
import { Component, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import {
  applyFieldOverrides, cacheFieldDisplayNames, createTheme, dateTime, FieldConfigOptionsRegistry, FieldType,
  getFieldDisplayName, identityOverrideProcessor, standardTransformers, standardTransformersRegistry, toDataFrame,
  transformDataFrame,
} from '@grafana/data';
import { BigValue, GlobalStyles, Icon, PanelChrome, ThemeContext, TimeSeries } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import 'uplot/dist/uPlot.min.css';
import asked from './asked.json';

const { dashboard, answers, start, end } = asked;
const [WIDTH, ROW, TOP, GAP] = [1600, 38, 44, 8];
const theme = createTheme({ colors: { mode: 'dark' } });
const range = { from: dateTime(start * 1000), to: dateTime(end * 1000), raw: { from: 'now', to: 'now' } };

// Which options a panel may set; Grafana registers them with an editor each, which a picture needs not.
const option = (isCustom) => (path) => ({
  id: isCustom ? `custom.${path}` : path, name: path, path, isCustom,
  process: identityOverrideProcessor, shouldApply: () => true, override: () => null, editor: () => null,
});
const options = new FieldConfigOptionsRegistry(() => [
  ...['unit', 'min', 'max', 'decimals', 'noValue', 'color', 'thresholds', 'mappings', 'links'].map(option(false)),
  ...['width', 'minWidth', 'align', 'cellOptions', 'filterable', 'drawStyle', 'lineInterpolation', 'lineWidth',
    'fillOpacity', 'showPoints', 'spanNulls', 'stacking', 'thresholdsStyle'].map(option(true)),
]);
const transformers = new Map(Object.values(standardTransformers).map((it) => [it.id, it]));
standardTransformersRegistry.setInit(() =>
  [...transformers.values()].map((it) => ({ id: it.id, name: it.name, transformation: async () => it })));

// As Grafana's Prometheus data source hands answers on: a table, or a frame for each series.
function table(target, found, column) {
  const labels = [...new Set(found.flatMap((it) => Object.keys(it.metric)))].sort();
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: found.map((it) => it.value[0] * 1000) },
      ...labels.map((name) => ({ name, type: FieldType.string, values: found.map((it) => it.metric[name] ?? null) })),
      { name: column, type: FieldType.number, values: found.map((it) => Number(it.value[1])) },
    ],
  });
}
function series(target, { metric, values, value }) {
  const points = values ?? [value];
  const name = target.legendFormat?.replace(/{{\s*(\w+)\s*}}/g, (_, label) => metric[label] ?? '');
  return toDataFrame({
    refId: target.refId,
    name,
    fields: [
      { name: 'Time', type: FieldType.time, values: points.map((it) => it[0] * 1000) },
      { name: 'Value', type: FieldType.number, labels: metric, values: points.map((it) => Number(it[1])), config: { displayNameFromDS: name } },
    ],
  });
}
function frames(panel) {
  return panel.targets.flatMap((target) => {
    const found = answers[panel.id][target.refId];
    const column = panel.targets.length > 1 ? `Value #${target.refId}` : 'Value';
    return target.format === 'table' ? [table(target, found, column)] : found.map((it) => series(target, it));
  });
}
function withConfig(panel, data) {
  const { fieldConfig } = panel;
  const made = applyFieldOverrides({ data, fieldConfig, fieldConfigRegistry: options, replaceVariables: (it) => it, theme, timeZone: 'utc' });
  cacheFieldDisplayNames(made);
  return made;
}

function Stat({ panel, data, width, height }) {
  const field = data[0]?.fields[1];
  if (!field) return panel.fieldConfig.defaults.noValue;
  const { textMode, colorMode, graphMode, justifyMode } = panel.options;
  const title = textMode === 'value_and_name' ? getFieldDisplayName(field, data[0], data) : undefined;
  const value = { ...field.display(field.values.at(-1)), title };
  return <BigValue {...{ width, height, theme, value, textMode, colorMode, graphMode, justifyMode }} />;
}
function Content({ panel, data, width, height }) {
  if (panel.type === 'stat') return <Stat {...{ panel, data, width, height }} />;
  if (panel.type === 'timeseries') {
    const { legend } = panel.options;
    return <TimeSeries frames={data} timeRange={range} timeZone="utc" structureRev={1} {...{ width, height, legend }} />;
  }
  const { sortBy, cellHeight } = panel.options;
  if (!data[0]?.length) return panel.fieldConfig.defaults.noValue;
  return <TableNG data={data[0]} fieldConfig={panel.fieldConfig} timeRange={range} enableVirtualization={false} {...{ width, height, sortBy, cellHeight }} />;
}
function Panel({ panel }) {
  const [data, show] = useState();
  useEffect(() => {
    if (panel.type === 'row') return undefined;
    const made = transformDataFrame(panel.transformations ?? [], frames(panel));
    const subscription = made.subscribe((it) => show(withConfig(panel, it)));
    return () => subscription.unsubscribe();
  }, [panel]);
  const { x, y, w, h } = panel.gridPos;
  const cell = (WIDTH - 2 * GAP) / 24;
  const place = { position: 'absolute', left: GAP + x * cell, top: TOP + y * ROW, width: w * cell - GAP, height: h * ROW - GAP };
  if (panel.type === 'row') return <h5 style={place}><Icon name="angle-down" /> {panel.title}</h5>;
  const { title, description } = panel;
  const padding = panel.type === 'table' ? 'none' : 'md';
  return (
    <div style={place}>
      <PanelChrome {...{ title, description, padding }} width={place.width} height={place.height}>
        {(width, height) => data && <Content {...{ panel, data, width, height }} />}
      </PanelChrome>
    </div>
  );
}
class Caught extends Component {
  state = {};
  static getDerivedStateFromError(error) { return { error }; }
  render() { return this.state.error ? <pre>{this.state.error.stack}</pre> : this.props.children; }
}

document.body.style.cssText = `margin: 0; width: ${WIDTH}px; background: ${theme.colors.background.canvas}`;
createRoot(document.getElementById('root')).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <h4 style={{ position: 'absolute', left: 2 * GAP, top: GAP }}>{dashboard.title}</h4>
    {dashboard.panels.map((it) => <Caught key={it.id}><Panel panel={it} /></Caught>)}
  </ThemeContext.Provider>,
);
