import java.util.Properties;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;

/** BROKERS INPUT OUTPUT STATE-FOLDER [SETTING=VALUE...]: an order for every quote, by Kafka Streams. */
final class Streams {
    private Streams() {}

    public static void main(String[] args) {
        String input = args[1], output = args[2];

        Properties settings = new Properties();
        settings.put("application.id", "pinion-peer-" + input);
        settings.put("bootstrap.servers", args[0]);
        settings.put("state.dir", args[3]);
        settings.put("processing.guarantee", "at_least_once");
        settings.put("num.stream.threads", "1");
        settings.put("statestore.cache.max.bytes", "0");
        settings.put("producer.linger.ms", "0");
        settings.put("producer.acks", "all");
        settings.put("consumer.auto.offset.reset", "earliest");
        for (int at = 4; at < args.length; at++) {
            String[] setting = args[at].split("=", 2);
            settings.put("producer." + setting[0], setting[1]);
        }

        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(input, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
                .process(Decide::new)
                .to(output, Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));

        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        streams.start();
    }

    /** The record's offset is only seen by a processor, not by mapValues. */
    private static final class Decide extends ContextualProcessor<byte[], byte[], byte[], byte[]> {
        private static final Headers HEADERS = new RecordHeaders(Quotes.HEADERS);

        @Override
        public void process(Record<byte[], byte[]> record) {
            long offset = context().recordMetadata().orElseThrow().offset();
            byte[] order = Quotes.order(offset, record.value());
            context().forward(new Record<>(Quotes.KEY, order, record.timestamp(), HEADERS));
        }
    }
}
