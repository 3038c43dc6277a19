package dev.isotel.peers;

import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonPrimitive;
import com.google.gson.annotations.SerializedName;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.common.AttributesBuilder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** What to send; its form is described in tests/peers/README.md. */
record Plan(
    @SerializedName("base_unix_nano") long baseUnixNano,
    List<PlannedSpan> spans,
    HistogramPlan histogram,
    CounterPlan counter) {

  record PlannedSpan(
      String name,
      String kind,
      @SerializedName("start_offset_ns") long startOffsetNanos,
      @SerializedName("duration_ns") long durationNanos,
      String status,
      Map<String, JsonElement> attributes) {}

  record Measurement(double value, Map<String, JsonElement> attributes) {}

  record HistogramPlan(
      String name, String unit, List<Double> boundaries, List<Measurement> records) {}

  record CounterPlan(String name, String unit, List<Measurement> adds) {}

  static Plan read(Path path) throws IOException {
    return new Gson().fromJson(Files.readString(path), Plan.class);
  }

  /** Keeps JSON's own types: a number written without a fraction is an integer attribute. */
  static Attributes attributes(Map<String, JsonElement> planned) {
    if (planned == null) {
      return Attributes.empty();
    }
    AttributesBuilder builder = Attributes.builder();
    planned.forEach((key, element) -> put(builder, key, element.getAsJsonPrimitive()));
    return builder.build();
  }

  private static void put(AttributesBuilder builder, String key, JsonPrimitive value) {
    if (value.isBoolean()) {
      builder.put(key, value.getAsBoolean());
    } else if (value.isString()) {
      builder.put(key, value.getAsString());
    } else if (value.getAsString().matches("-?[0-9]+")) {
      builder.put(key, value.getAsLong());
    } else {
      builder.put(key, value.getAsDouble());
    }
  }
}
